;; A straightened card -> the frequencies of which its hash is made: the source of the bytes in hash_kernel.js.
;;
;; Assemble it (after `make web`), then put the bytes into KERNEL in hash_kernel.js:
;;
;;     node web/node_modules/wabt/bin/wat2wasm web/recognition/picture_hash.wat -o picture_hash.wasm
;;
;; Memory, imported as m.m, as hash_kernel.js fills it:
;;     the cosines  float32 [32, 16]: of a sample, those of the frequencies 0, 2, .. 14, 1, 3, .. 15
;;     space        8 kB for what lies between the two steps of a transformation
;;     the card     uint8 [128, 96]
;;     the square   float32 [64, 64], written by shrink
;;     the result   float32 [16, 16], written by transform: rows and columns in the order of the cosines
(module
  (import "m" "m" (memory 1))

  ;; The card as a square: each number is the mean of 1.5 x 2 pixels, rounded. Of 3 pixels in a row, the left number has
  ;; 2/3 of the first and 1/3 of the second, the right one 1/3 of the second and 2/3 of the third.
  (func (export "shrink")
    (param $card i32) (param $square i32)
    (local $end i32)      ;; where this row of the card ends
    (local $last i32)     ;; where the card ends
    (local $full v128) (local $half v128)
    (local $a v128)       ;; 16 bytes of a row of the card, of which 12 are used
    (local $b v128)       ;; those below
    (local $left v128) (local $right v128)
    (local $none v128)    ;; zeros
    (local.set $last (i32.add (local.get $card) (i32.const 12288)))
    (local.set $full (v128.const f32x4 0.6666667 0.6666667 0.6666667 0.6666667))
    (local.set $half (v128.const f32x4 0.33333334 0.33333334 0.33333334 0.33333334))
    (loop $rows
      (local.set $end (i32.add (local.get $card) (i32.const 96)))
      (loop $pixels
        (local.set $a (v128.load (local.get $card)))
        (local.set $b (v128.load offset=96 (local.get $card)))
        ;; Every third byte becomes a float: here the first, second and third ones of a row, and those below.
        (local.set $left
          (f32x4.add
            (f32x4.add
              (f32x4.mul (local.get $full) (f32x4.convert_i32x4_u
                (i8x16.shuffle 0 16 16 16 3 16 16 16 6 16 16 16 9 16 16 16 (local.get $a) (local.get $none))))
              (f32x4.mul (local.get $half) (f32x4.convert_i32x4_u
                (i8x16.shuffle 1 16 16 16 4 16 16 16 7 16 16 16 10 16 16 16 (local.get $a) (local.get $none)))))
            (f32x4.add
              (f32x4.mul (local.get $full) (f32x4.convert_i32x4_u
                (i8x16.shuffle 0 16 16 16 3 16 16 16 6 16 16 16 9 16 16 16 (local.get $b) (local.get $none))))
              (f32x4.mul (local.get $half) (f32x4.convert_i32x4_u
                (i8x16.shuffle 1 16 16 16 4 16 16 16 7 16 16 16 10 16 16 16 (local.get $b) (local.get $none)))))))
        (local.set $right
          (f32x4.add
            (f32x4.add
              (f32x4.mul (local.get $full) (f32x4.convert_i32x4_u
                (i8x16.shuffle 2 16 16 16 5 16 16 16 8 16 16 16 11 16 16 16 (local.get $a) (local.get $none))))
              (f32x4.mul (local.get $half) (f32x4.convert_i32x4_u
                (i8x16.shuffle 1 16 16 16 4 16 16 16 7 16 16 16 10 16 16 16 (local.get $a) (local.get $none)))))
            (f32x4.add
              (f32x4.mul (local.get $full) (f32x4.convert_i32x4_u
                (i8x16.shuffle 2 16 16 16 5 16 16 16 8 16 16 16 11 16 16 16 (local.get $b) (local.get $none))))
              (f32x4.mul (local.get $half) (f32x4.convert_i32x4_u
                (i8x16.shuffle 1 16 16 16 4 16 16 16 7 16 16 16 10 16 16 16 (local.get $b) (local.get $none)))))))
        (local.set $left (f32x4.nearest (f32x4.mul (local.get $left) (v128.const f32x4 0.5 0.5 0.5 0.5))))
        (local.set $right (f32x4.nearest (f32x4.mul (local.get $right) (v128.const f32x4 0.5 0.5 0.5 0.5))))
        (v128.store (local.get $square)
          (i8x16.shuffle 0 1 2 3 16 17 18 19 4 5 6 7 20 21 22 23 (local.get $left) (local.get $right)))
        (v128.store offset=16 (local.get $square)
          (i8x16.shuffle 8 9 10 11 24 25 26 27 12 13 14 15 28 29 30 31 (local.get $left) (local.get $right)))
        (local.set $square (i32.add (local.get $square) (i32.const 32)))
        ;; card += 12; again while card < end
        (br_if $pixels (i32.lt_u (local.tee $card (i32.add (local.get $card) (i32.const 12))) (local.get $end))))
      ;; the row below is done too; again while card < last
      (br_if $rows (i32.lt_u (local.tee $card (i32.add (local.get $card) (i32.const 96))) (local.get $last)))))

  ;; The 16 x 16 lowest frequencies of a square (DCT-II). The cosines of an even frequency are symmetric, those of an odd
  ;; one antisymmetric: so the sum and the difference of two samples stand for both.
  (func (export "transform")
    (param $cosines i32) (param $space i32) (param $square i32) (param $result i32)
    (local $low i32) (local $high i32)      ;; two samples, from both ends of a line
    (local $at i32)                         ;; the cosines of these samples
    (local $to i32)
    (local $end i32)
    (local $sum v128) (local $difference v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)

    ;; The frequencies of each row of the square: 64 bytes a row, into the space.
    (local.set $to (local.get $space))
    (local.set $end (i32.add (local.get $space) (i32.const 4096)))
    (loop $rows
      (local.set $low (local.get $square))
      (local.set $high (i32.add (local.get $square) (i32.const 252)))
      (local.set $at (local.get $cosines))
      (local.set $a (v128.const f32x4 0 0 0 0))
      (local.set $b (local.get $a))
      (local.set $c (local.get $a))
      (local.set $d (local.get $a))
      (loop $samples
        (local.set $sum (f32x4.add (v128.load32_splat (local.get $low)) (v128.load32_splat (local.get $high))))
        (local.set $difference
          (f32x4.sub (v128.load32_splat (local.get $low)) (v128.load32_splat (local.get $high))))
        (local.set $a (f32x4.add (local.get $a) (f32x4.mul (local.get $sum) (v128.load (local.get $at)))))
        (local.set $b (f32x4.add (local.get $b) (f32x4.mul (local.get $sum) (v128.load offset=16 (local.get $at)))))
        (local.set $c
          (f32x4.add (local.get $c) (f32x4.mul (local.get $difference) (v128.load offset=32 (local.get $at)))))
        (local.set $d
          (f32x4.add (local.get $d) (f32x4.mul (local.get $difference) (v128.load offset=48 (local.get $at)))))
        (local.set $at (i32.add (local.get $at) (i32.const 64)))
        (local.set $high (i32.sub (local.get $high) (i32.const 4)))
        (br_if $samples
          (i32.lt_u (local.tee $low (i32.add (local.get $low) (i32.const 4))) (local.get $high))))
      (v128.store (local.get $to) (local.get $a))
      (v128.store offset=16 (local.get $to) (local.get $b))
      (v128.store offset=32 (local.get $to) (local.get $c))
      (v128.store offset=48 (local.get $to) (local.get $d))
      (local.set $square (i32.add (local.get $square) (i32.const 256)))
      (br_if $rows (i32.lt_u (local.tee $to (i32.add (local.get $to) (i32.const 64))) (local.get $end))))

    ;; The sums and differences of the rows that are equally far from the ends, behind the rows: 32 x 64 bytes each.
    (local.set $low (local.get $space))
    (local.set $high (i32.add (local.get $space) (i32.const 4032)))
    (local.set $to (i32.add (local.get $space) (i32.const 4096)))
    (loop $rows
      (local.set $end (i32.add (local.get $low) (i32.const 64)))
      (loop $columns
        (v128.store (local.get $to) (f32x4.add (v128.load (local.get $low)) (v128.load (local.get $high))))
        (v128.store offset=2048 (local.get $to)
          (f32x4.sub (v128.load (local.get $low)) (v128.load (local.get $high))))
        (local.set $to (i32.add (local.get $to) (i32.const 16)))
        (local.set $high (i32.add (local.get $high) (i32.const 16)))
        (br_if $columns
          (i32.lt_u (local.tee $low (i32.add (local.get $low) (i32.const 16))) (local.get $end))))
      (local.set $high (i32.sub (local.get $high) (i32.const 128)))
      (br_if $rows (i32.lt_u (local.get $low) (local.get $high))))

    ;; The frequencies of the columns: of the sums, then of the differences.
    (local.set $space (i32.add (local.get $space) (i32.const 4096)))
    (local.set $end (i32.add (local.get $cosines) (i32.const 64)))
    (loop $frequencies
      (local.set $at (local.get $cosines))
      (local.set $low (local.get $space))
      (local.set $high (i32.add (local.get $space) (i32.const 2048)))
      (local.set $a (v128.const f32x4 0 0 0 0))
      (local.set $b (local.get $a))
      (local.set $c (local.get $a))
      (local.set $d (local.get $a))
      (loop $samples
        (local.set $sum (v128.load32_splat (local.get $at)))
        (local.set $a (f32x4.add (local.get $a) (f32x4.mul (local.get $sum) (v128.load (local.get $low)))))
        (local.set $b (f32x4.add (local.get $b) (f32x4.mul (local.get $sum) (v128.load offset=16 (local.get $low)))))
        (local.set $c (f32x4.add (local.get $c) (f32x4.mul (local.get $sum) (v128.load offset=32 (local.get $low)))))
        (local.set $d (f32x4.add (local.get $d) (f32x4.mul (local.get $sum) (v128.load offset=48 (local.get $low)))))
        (local.set $at (i32.add (local.get $at) (i32.const 64)))
        (br_if $samples
          (i32.lt_u (local.tee $low (i32.add (local.get $low) (i32.const 64))) (local.get $high))))
      (v128.store (local.get $result) (local.get $a))
      (v128.store offset=16 (local.get $result) (local.get $b))
      (v128.store offset=32 (local.get $result) (local.get $c))
      (v128.store offset=48 (local.get $result) (local.get $d))
      (local.set $result (i32.add (local.get $result) (i32.const 64)))
      (local.set $cosines (i32.add (local.get $cosines) (i32.const 4)))
      ;; after the 8 even frequencies, the differences
      (if (i32.eq (i32.sub (local.get $end) (local.get $cosines)) (i32.const 32))
        (then (local.set $space (i32.add (local.get $space) (i32.const 2048)))))
      (br_if $frequencies (i32.lt_u (local.get $cosines) (local.get $end))))))
