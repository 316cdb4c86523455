;; Counts the bits of every row's art that are those of one hash: the source of the bytes in hash_search.js.
;;
;; Assemble it (after `make web`), then put the bytes into KERNEL in hash_search.js:
;;
;;     node web/node_modules/wabt/bin/wat2wasm web/index/hash_search.wat -o hash_search.wasm
;;
;; Memory, imported as m.m, as hash_search.js fills it:
;;     the rows       128 bytes each: 32 of the complete picture, then 96 of its art
;;     the hash       96 bytes
;;     the counts     int16, one for each row: written here
(module
  (import "m" "m" (memory 1))

  (func (export "count")
    (param $row i32)      ;; where the art of the next row begins
    (param $end i32)      ;; where that of the row after the last one would begin
    (param $hash i32)     ;; where the hash begins
    (param $out i32)      ;; where the next count is written
    (local $a v128) (local $b v128) (local $c v128) (local $d v128) (local $e v128) (local $f v128)
    (local $sum v128)     ;; 16 sums of at most 6 x 8 bits, then four int32
    (local.set $a (v128.load          (local.get $hash)))
    (local.set $b (v128.load offset=16 (local.get $hash)))
    (local.set $c (v128.load offset=32 (local.get $hash)))
    (local.set $d (v128.load offset=48 (local.get $hash)))
    (local.set $e (v128.load offset=64 (local.get $hash)))
    (local.set $f (v128.load offset=80 (local.get $hash)))

    (loop $rows
      (local.set $sum
        (i8x16.add
          (i8x16.add
            (i8x16.add (i8x16.popcnt (v128.xor (local.get $a) (v128.load           (local.get $row))))
                       (i8x16.popcnt (v128.xor (local.get $b) (v128.load offset=16 (local.get $row)))))
            (i8x16.add (i8x16.popcnt (v128.xor (local.get $c) (v128.load offset=32 (local.get $row))))
                       (i8x16.popcnt (v128.xor (local.get $d) (v128.load offset=48 (local.get $row))))))
          (i8x16.add   (i8x16.popcnt (v128.xor (local.get $e) (v128.load offset=64 (local.get $row))))
                       (i8x16.popcnt (v128.xor (local.get $f) (v128.load offset=80 (local.get $row)))))))
      (local.set $sum
        (i32x4.extadd_pairwise_i16x8_u (i16x8.extadd_pairwise_i8x16_u (local.get $sum))))
      (i32.store16
        (local.get $out)
        (i32.sub (i32.const 768) (i32.add
          (i32.add (i32x4.extract_lane 0 (local.get $sum)) (i32x4.extract_lane 1 (local.get $sum)))
          (i32.add (i32x4.extract_lane 2 (local.get $sum)) (i32x4.extract_lane 3 (local.get $sum))))))
      (local.set $out (i32.add (local.get $out) (i32.const 2)))  ;; 2 bytes a count

      ;; row += 128; again while row < end
      (br_if $rows
        (i32.lt_u
          (local.tee $row (i32.add (local.get $row) (i32.const 128)))
          (local.get $end))))))
