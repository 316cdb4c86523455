;; Scores every row of the index against one query: the source of the bytes in scores.js.
;;
;; Assemble it (after `make web`), then put the bytes into KERNEL in scores.js:
;;
;;     node web/node_modules/wabt/bin/wat2wasm web/index/scores.wat -o scores.wasm
;;
;; A score is the sum of the products of a row's numbers (int8) and the query's numbers (int16).
;; It is not divided by anything: scores.js turns it into a cosine.
;;
;; Memory, imported as m.m, as scores.js fills it:
;;     the rows      int8,  one after the other, without gaps
;;     the query     int16, filled up with zeros to a multiple of 8 numbers
;;     the scores    int32, one for each row: written here
;;
;; The kernel takes 8 numbers at a time. Where the length is no multiple of 8, it reads past the end of a row.
;; That changes no score, because the query has zeros there.
(module
  (import "m" "m" (memory 1))

  (func (export "score")
    (param $row i32)      ;; where the next row begins
    (param $end i32)      ;; where the last row ends
    (param $length i32)   ;; numbers in a row
    (param $query i32)    ;; where the query begins
    (param $out i32)      ;; where the next score is written
    (local $at i32)       ;; the first of the 8 numbers that are read now
    (local $sum v128)     ;; four int32, which are added up at the end of the row

    (loop $rows
      (local.set $at (i32.const 0))
      (local.set $sum (v128.const i32x4 0 0 0 0))

      (loop $blocks
        ;; Eight int8 of the row become int16. dot multiplies them by eight int16 of the query,
        ;; and adds each two neighbouring products: four int32.
        (local.set $sum
          (i32x4.add
            (local.get $sum)
            (i32x4.dot_i16x8_s
              (v128.load8x8_s (i32.add (local.get $row) (local.get $at)))
              (v128.load      (i32.add (local.get $query)
                                       (i32.shl (local.get $at) (i32.const 1)))))))  ;; 2 bytes a number
        ;; at += 8; again while at < length
        (br_if $blocks
          (i32.lt_u
            (local.tee $at (i32.add (local.get $at) (i32.const 8)))
            (local.get $length))))

      (i32.store
        (local.get $out)
        (i32.add
          (i32.add (i32x4.extract_lane 0 (local.get $sum)) (i32x4.extract_lane 1 (local.get $sum)))
          (i32.add (i32x4.extract_lane 2 (local.get $sum)) (i32x4.extract_lane 3 (local.get $sum)))))
      (local.set $out (i32.add (local.get $out) (i32.const 4)))  ;; 4 bytes a score

      ;; row += length; again while row < end
      (br_if $rows
        (i32.lt_u
          (local.tee $row (i32.add (local.get $row) (local.get $length)))
          (local.get $end))))))
