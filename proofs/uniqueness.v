(* Unique up to rotation: chapter 2, thm-etf-unique.

   Let V, W in R^{K x d}.  Then WW' = VV' if and only if V = WQ for some orthogonal Q.  In particular any two simplex
   ETFs of K vectors in R^d are carried into each other by an orthogonal map; if d >= K, by a rotation (det Q = 1).

   The book finds Q from a singular value decomposition.  Here Q is built from reflections, one a row: they carry row
   after row to its place and leave the rows that are in place already.  No root is taken, so the theorem holds over
   any ordered field: two rational frames with one Gram matrix differ by a rational orthogonal map. *)
From mathcomp Require Import all_ssreflect all_algebra ring.
From collapse Require Import algebra simplex_etf.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.Theory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Definition orthogonal (R : ringType) d (Q : 'M[R]_d) := Q *m Q^T = 1%:M.

(* The reflection that exchanges u and -u, for a row u. *)
Definition reflection (R : fieldType) d (u : 'rV[R]_d) : 'M[R]_d := 1%:M - (2%:R / normsq u) *: (u^T *m u).

Section Reflections.
Variables (R : realFieldType) (d : nat).
Implicit Types (u v w : 'rV[R]_d) (Q : 'M[R]_d).

Lemma inner_row u v : u *m v^T = (inner u v)%:M.
Proof. by rewrite [LHS]mx11_scalar -trace_mx11 mxtrace_mulC -{1}(trmxK u) -mxtrace_tr trmx_mul trmxK -trmx_mul
  mxtrace_tr inner_tr mxtrace_mulC -mxtrace_tr trmx_mul trmxK mxtrace_mulC. Qed.

Lemma mul_reflection u w : w *m reflection u = w - (2%:R * inner w u / normsq u) *: u.
Proof.
rewrite /reflection mulmxBr mulmx1 -scalemxAr mulmxA inner_row mul_scalar_mx scalerA.
by congr (_ - _ *: _); rewrite mulrAC.
Qed.

Lemma reflection_fixes u w : inner w u = 0 -> w *m reflection u = w.
Proof. by move=> wu; rewrite mul_reflection wu mulr0 mul0r scale0r subr0. Qed.

Lemma trmx_reflection u : (reflection u)^T = reflection u.
Proof. by rewrite /reflection linearB linearZ /= trmx1 trmx_mul trmxK. Qed.

Lemma reflection_orthogonal u : u != 0 -> orthogonal (reflection u).
Proof.
rewrite -normsq_eq0 => u0; rewrite /orthogonal trmx_reflection; apply/row_matrixP => i.
rewrite row_mul; set w := row i (reflection u).
have -> : w = delta_mx 0 i - (2%:R * inner (delta_mx 0 i) u / normsq u) *: u.
  by rewrite -mul_reflection /w rowE.
set a := inner (delta_mx 0 i) u; rewrite row1 mul_reflection innerDl innerNl innerZl -/a -/(normsq u).
rewrite -addrA -opprD -scalerDl.
have -> : 2%:R * a / normsq u + 2%:R * (a - 2%:R * a / normsq u * normsq u) / normsq u = 0 by field.
by rewrite scale0r subr0.
Qed.

(* A reflection carries w to v if the two are equally long. *)
Lemma reflection_carries v w : normsq v = normsq w -> v != w -> w *m reflection (w - v) = v.
Proof.
move=> same vw; have diff : normsq (w - v) != 0 by rewrite normsq_eq0 subr_eq0 eq_sym.
rewrite mul_reflection.
have -> : 2%:R * inner w (w - v) = normsq (w - v).
  rewrite normsqB same innerDr innerNr -[inner w w]/(normsq w); by move: (normsq w) (inner w v) => x y; ring.
by rewrite mulfV // scale1r subKr.
Qed.

Lemma orthogonalM Q Q' : orthogonal Q -> orthogonal Q' -> orthogonal (Q *m Q').
Proof. by rewrite /orthogonal trmx_mul => q q'; rewrite mulmxA -(mulmxA Q) q' mulmx1. Qed.

Lemma orthogonal1 : orthogonal (1%:M : 'M[R]_d).
Proof. by rewrite /orthogonal trmx1 mulmx1. Qed.

Lemma inner_orthogonal Q u v : orthogonal Q -> inner (u *m Q) (v *m Q) = inner u v.
Proof. by move=> q; rewrite inner_mulr -mulmxA q mulmx1. Qed.
End Reflections.

Section Uniqueness.
Variables (R : realFieldType) (K d : nat).
Implicit Types V W : 'M[R]_(K, d).

Lemma gram_inner W i j : gram W i j = inner (row i W) (row j W).
Proof. by rewrite /gram mxE /inner big_ord1; apply: eq_bigr => k _; rewrite !mxE. Qed.

(* The first m rows can be carried to their places, by induction on m. *)
Lemma carry_rows V W : gram W = gram V ->
  forall m, exists2 Q, orthogonal Q & forall i : 'I_K, (i < m)%N -> row i W *m Q = row i V.
Proof.
move=> same; elim=> [|m [Q orth carried]]; first by exists 1%:M => //; apply: orthogonal1.
have [mK | mK] := ltnP m K; last first.
  by exists Q => // i _; apply: carried; apply: leq_trans (ltn_ord i) mK.
pose v := row (Ordinal mK) V; pose w := row (Ordinal mK) W *m Q.
have last_row (i : 'I_K) : (i < m.+1)%N -> (i < m)%N \/ i = Ordinal mK.
  by rewrite ltnS leq_eqVlt => /orP[/eqP im | ?]; [right; apply: val_inj | left].
have [vw | vw] := eqVneq v w.
  by exists Q => // i /last_row[/carried // | ->]; rewrite -/v vw.
have long : normsq v = normsq w by rewrite /normsq /w inner_orthogonal // -!gram_inner same.
exists (Q *m reflection (w - v)) => [|i /last_row[im | ->]].
- by apply: orthogonalM => //; apply: reflection_orthogonal; rewrite subr_eq0 eq_sym.
- rewrite mulmxA carried // reflection_fixes // innerDr innerNr -{1}carried // /w inner_orthogonal //.
  by rewrite -!gram_inner same subrr.
by rewrite mulmxA -/w reflection_carries.
Qed.

Theorem unique_up_to_rotation V W : gram W = gram V <-> exists2 Q, orthogonal Q & V = W *m Q.
Proof.
split=> [same | [Q orth ->]]; last by rewrite /gram trmx_mul mulmxA -(mulmxA W) orth mulmx1.
have [Q orth carried] := carry_rows same K; exists Q => //.
by apply/row_matrixP => i; rewrite row_mul carried.
Qed.

Theorem simplex_etf_unique V W : simplex_etf V -> simplex_etf W -> exists2 Q, orthogonal Q & V = W *m Q.
Proof. by move=> v w; apply/unique_up_to_rotation; rewrite v w. Qed.
End Uniqueness.

Section Rotation.
Variables (R : realFieldType) (K d : nat).

(* Step 4: a reflection has determinant -1. *)
Lemma det_reflection (u : 'rV[R]_d) : u != 0 -> \det (reflection u) = - 1.
Proof.
rewrite -normsq_eq0 => u0; pose c := 2%:R / normsq u.
pose L : 'M[R]_(d + 1) := block_mx 1%:M 0 u 1%:M.
pose M : 'M[R]_(d + 1) := block_mx (reflection u) (- c *: u^T) 0 1%:M.
have cu : c * normsq u = 2%:R by rewrite /c divfK.
have corner : u *m (- c *: u^T) + 1%:M = (- 1)%:M :> 'M_1.
  rewrite -scalemxAr inner_row -/(normsq u) scale_scalar_mx mulNr cu -raddfD; congr _%:M; ring.
have side : u *m reflection u = (- 1)%:M *m u.
  by rewrite mul_reflection -/(normsq u) mulfK // mul_scalar_mx -{1}[u]scale1r -scalerBl; congr (_ *: _); ring.
have : L *m M = block_mx 1%:M (- c *: u^T) 0 (- 1)%:M *m L.
  rewrite /L /M !mulmx_block !mul1mx !mulmx1 !mul0mx !addr0 !add0r side corner.
  by congr block_mx; rewrite -scalemxAl scaleNr.
move=> /(congr1 determinant); rewrite !det_mulmx det_lblock det_ublock det_ublock !det1 !mul1r !mulr1.
by move=> ->; rewrite det_scalar1.
Qed.

Theorem simplex_etf_rotation (V W : 'M[R]_(K, d)) : (1 < K)%N -> (K <= d)%N ->
  simplex_etf V -> simplex_etf W -> exists Q, [/\ orthogonal Q, \det Q = 1 & V = W *m Q].
Proof.
move=> K_gt1 room v w; have [Q orth ->] := simplex_etf_unique v w.
have : \det Q ^+ 2 = 1 by rewrite expr2 -{2}det_tr -det_mulmx orth det1.
move/eqP; rewrite sqrf_eq1 => /orP[/eqP det1|/eqP detN1]; first by exists Q.
have K_gt0 : (0 < K)%N by exact: ltnW.
have [u Wu u0] : exists2 u : 'rV[R]_d, W *m u^T = 0 & u != 0.
  have sum0 : ones^T *m W = 0.
    apply/eqP; rewrite -normsq_eq0 -normsq_trmx trmx_mul trmxK /normsq inner_mull trmxK mulmxA.
    have -> : W *m W^T = gram W by []; rewrite w /centring -scalemxAl mulmxBl mul1mx -scalemxAl -mulmxA inner_col.
    rewrite -/(normsq _) normsq_ones mul_mx_scalar scalerA mulVf ?scale1r ?subrr ?scaler0 ?inner0r //.
    by rewrite pnatr_eq0 -lt0n.
  have rankW : (\rank W < d)%N.
    apply: leq_trans room; rewrite ltn_neqAle rank_leq_row andbT; apply/negP => full.
    have := row_free_inj full (x1 := ones^T) (x2 := 0); rewrite sum0 mul0mx => /(_ erefl) /eqP.
    rewrite -normsq_eq0 normsq_trmx normsq_ones pnatr_eq0 => /eqP K0.
    by rewrite K0 in K_gt0.
  have := kermx_eq0 W^T; rewrite /row_free mxrank_tr (ltn_eqF rankW) => /negbT /rowV0Pn[u ker u0].
  by exists u => //; apply: trmx_inj; rewrite trmx_mul trmxK trmx0; apply/sub_kermxP.
exists (reflection u *m Q); split.
- by apply: orthogonalM => //; apply: reflection_orthogonal.
- by rewrite det_mulmx detN1 det_reflection // mulrNN mulr1.
rewrite mulmxA; congr (_ *m _); rewrite /reflection mulmxBr mulmx1 -scalemxAr mulmxA Wu mul0mx scaler0.
by rewrite subr0.
Qed.
End Rotation.
