(* The few facts about matrices that every file here leans on: the inner product of two matrices of one shape,
   its squared norm, and the inequality of Cauchy and Schwarz.  Everything holds over any ordered field, hence over
   the rationals and over the reals.  No square root occurs: norms are squared throughout. *)
From mathcomp Require Import all_ssreflect all_algebra.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.Theory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(* The inner product <A, B>, the sum of the products of the entries; for two vectors the usual one. *)
Definition inner (R : ringType) m n (A B : 'M[R]_(m, n)) : R := \sum_i \sum_j A i j * B i j.

(* The squared Frobenius norm; for a vector its squared length. *)
Definition normsq (R : ringType) m n (A : 'M[R]_(m, n)) : R := inner A A.

(* The vector of ones, as a column. *)
Definition ones {R : ringType} {m} : 'cV[R]_m := const_mx 1.

Section Bilinear.
Variable R : realFieldType.
Implicit Types m n p : nat.

Lemma inner_tr m n (A B : 'M[R]_(m, n)) : inner A B = \tr (A^T *m B).
Proof.
rewrite /inner exchange_big /mxtrace; apply: eq_bigr => j _; rewrite mxE.
by apply: eq_bigr => i _; rewrite mxE.
Qed.

Lemma innerC m n (A B : 'M[R]_(m, n)) : inner A B = inner B A.
Proof. by apply: eq_bigr => i _; apply: eq_bigr => j _; rewrite mulrC. Qed.

Lemma innerDl m n (A B C : 'M[R]_(m, n)) : inner (A + B) C = inner A C + inner B C.
Proof.
rewrite /inner -big_split; apply: eq_bigr => i _ /=; rewrite -big_split.
by apply: eq_bigr => j _ /=; rewrite mxE mulrDl.
Qed.

Lemma innerZl m n a (A B : 'M[R]_(m, n)) : inner (a *: A) B = a * inner A B.
Proof.
rewrite /inner mulr_sumr; apply: eq_bigr => i _; rewrite mulr_sumr.
by apply: eq_bigr => j _; rewrite mxE mulrA.
Qed.

Lemma innerDr m n (A B C : 'M[R]_(m, n)) : inner A (B + C) = inner A B + inner A C.
Proof. by rewrite innerC innerDl !(innerC A). Qed.

Lemma innerZr m n a (A B : 'M[R]_(m, n)) : inner A (a *: B) = a * inner A B.
Proof. by rewrite innerC innerZl innerC. Qed.

Lemma innerNl m n (A B : 'M[R]_(m, n)) : inner (- A) B = - inner A B.
Proof. by rewrite -scaleN1r innerZl mulN1r. Qed.

Lemma innerNr m n (A B : 'M[R]_(m, n)) : inner A (- B) = - inner A B.
Proof. by rewrite innerC innerNl innerC. Qed.

Lemma inner0l m n (A : 'M[R]_(m, n)) : inner 0 A = 0.
Proof. by rewrite -(scale0r 0) innerZl mul0r. Qed.

Lemma inner0r m n (A : 'M[R]_(m, n)) : inner A 0 = 0.
Proof. by rewrite innerC inner0l. Qed.

Lemma inner_trmx m n (A B : 'M[R]_(m, n)) : inner A^T B^T = inner A B.
Proof. by rewrite /inner exchange_big; apply: eq_bigr => i _; apply: eq_bigr => j _; rewrite !mxE. Qed.

(* Factors move from one side of the inner product to the other, transposed. *)
Lemma inner_mull m n p (A : 'M[R]_(m, n)) (B : 'M[R]_(n, p)) C : inner (A *m B) C = inner B (A^T *m C).
Proof. by rewrite !inner_tr trmx_mul mulmxA. Qed.

Lemma inner_mulr m n p (A : 'M[R]_(m, n)) (B : 'M[R]_(n, p)) C : inner (A *m B) C = inner A (C *m B^T).
Proof. by rewrite !inner_tr trmx_mul -mulmxA mxtrace_mulC -mulmxA. Qed.

Lemma normsqD m n (A B : 'M[R]_(m, n)) : normsq (A + B) = normsq A + inner A B *+ 2 + normsq B.
Proof. by rewrite /normsq innerDl !innerDr (innerC B A) mulr2n !addrA. Qed.

Lemma normsqN m n (A : 'M[R]_(m, n)) : normsq (- A) = normsq A.
Proof. by rewrite /normsq innerNl innerNr opprK. Qed.

Lemma normsqB m n (A B : 'M[R]_(m, n)) : normsq (A - B) = normsq A - inner A B *+ 2 + normsq B.
Proof. by rewrite normsqD innerNr normsqN mulNrn. Qed.

Lemma normsqZ m n a (A : 'M[R]_(m, n)) : normsq (a *: A) = a ^+ 2 * normsq A.
Proof. by rewrite /normsq innerZl innerZr mulrA expr2. Qed.

Lemma normsq0 m n : normsq (0 : 'M[R]_(m, n)) = 0.
Proof. exact: inner0l. Qed.

Lemma normsq_trmx m n (A : 'M[R]_(m, n)) : normsq A^T = normsq A.
Proof. exact: inner_trmx. Qed.

(* The inner product of two columns as a 1 x 1 matrix. *)
Lemma inner_col n (x y : 'cV[R]_n) : x^T *m y = (inner x y)%:M.
Proof. by rewrite [LHS]mx11_scalar inner_tr trace_mx11. Qed.

(* The rank-one matrix x a^T: its norm, and its inner product with anything. *)
Lemma inner_rank_one m n (A : 'M[R]_(m, n)) (x : 'cV_m) (a : 'cV_n) : inner A (x *m a^T) = inner x (A *m a).
Proof. by rewrite innerC inner_mulr trmxK. Qed.

Lemma normsq_rank_one m n (x : 'cV[R]_m) (a : 'cV[R]_n) : normsq (x *m a^T) = normsq x * normsq a.
Proof. by rewrite /normsq inner_rank_one -mulmxA inner_col mul_mx_scalar innerZr mulrC. Qed.

Lemma normsq_ones n : normsq (ones : 'cV[R]_n) = n%:R.
Proof.
rewrite /normsq /inner (eq_bigr (fun=> 1)) ?sumr_const ?card_ord // => i _.
by rewrite big_ord1 !mxE mulr1.
Qed.

Lemma inner_ones n (x : 'cV[R]_n) : inner ones x = \sum_i x i 0.
Proof. by apply: eq_bigr => i _; rewrite big_ord1 !mxE mul1r. Qed.
End Bilinear.

Section Positive.
Variable R : realFieldType.
Implicit Types m n : nat.

Lemma normsq_ge0 m n (A : 'M[R]_(m, n)) : 0 <= normsq A.
Proof. by apply: sumr_ge0 => i _; apply: sumr_ge0 => j _; rewrite -expr2 sqr_ge0. Qed.

Lemma normsq_eq0 m n (A : 'M[R]_(m, n)) : (normsq A == 0) = (A == 0).
Proof.
apply/eqP/eqP => [A0|->]; last exact: normsq0.
have pos i : true -> 0 <= \sum_j A i j * A i j by move=> _; apply: sumr_ge0 => j _; rewrite -expr2 sqr_ge0.
apply/matrixP => i j; rewrite mxE; apply/eqP.
have row0 := psumr_eq0P pos A0 (i := i) isT.
have pos' k : true -> 0 <= A i k * A i k by move=> _; rewrite -expr2 sqr_ge0.
have := psumr_eq0P pos' row0 (i := j) isT.
by move/eqP; rewrite mulf_eq0 orbb.
Qed.

Lemma normsq_gt0 m n (A : 'M[R]_(m, n)) : (0 < normsq A) = (A != 0).
Proof. by rewrite lt0r normsq_ge0 andbT normsq_eq0. Qed.

(* From x^2 <= s^2 to -s <= x. *)
Lemma sqr_lower (x s : R) : 0 <= s -> x ^+ 2 <= s ^+ 2 -> - s <= x.
Proof.
move=> s_ge0; rewrite -(real_normK (num_real x)) ler_pexpn2r ?nnegrE ?normr_ge0 // ler_norml.
by case/andP.
Qed.

Lemma cauchy_schwarz m n (A B : 'M[R]_(m, n)) : inner A B ^+ 2 <= normsq A * normsq B.
Proof.
have [->|Bn0] := eqVneq B 0; first by rewrite inner0r normsq0 expr0n mulr0.
have Bpos : 0 < normsq B by rewrite normsq_gt0.
have := normsq_ge0 (normsq B *: A - inner A B *: B).
rewrite normsqB !normsqZ innerZl innerZr -mulr_natr.
have -> : normsq B ^+ 2 * normsq A - normsq B * (inner A B * inner A B) * 2%:R + inner A B ^+ 2 * normsq B
        = normsq B * (normsq A * normsq B - inner A B ^+ 2).
  rewrite mulrBr !expr2 mulr_natr mulr2n opprD addrA.
  rewrite [inner A B * inner A B * _]mulrC addrNK; congr (_ - _).
  by rewrite -!mulrA; congr (_ * _); rewrite mulrC.
by rewrite pmulr_rge0 // subr_ge0.
Qed.
End Positive.
