(* The simplex ETF: chapter 2, def-etf-simplex, thm-etf-simplex-bound, thm-etf-existence.

   Definition.  The rows of W (K x d), K >= 2, form a simplex ETF if they have unit length and every two have inner
   product -1/(K-1); in one equation  W W' = K/(K-1) (I - 11'/K).

   Simplex bound.  For any unit vectors w_1, ..., w_K, K >= 2, in any dimension,
   max_{j != k} <w_j, w_k> >= -1/(K-1), with equality if and only if they form a simplex ETF.

   Existence.  A simplex ETF of K >= 2 vectors in R^d exists if and only if d >= K-1.

   The bound holds over any ordered field.  The construction takes square roots, so existence is stated over real
   closed fields; that fewer dimensions are too few holds over any ordered field again. *)
From mathcomp Require Import all_ssreflect all_algebra ring.
From collapse Require Import algebra.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.Theory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(* I - 11'/K, the projection onto the vectors whose entries sum to zero. *)
Definition centring (R : fieldType) K : 'M[R]_K := 1%:M - K%:R^-1 *: (ones *m ones^T).

Definition gram (R : ringType) K d (W : 'M[R]_(K, d)) : 'M[R]_K := W *m W^T.

Definition unit_rows (R : ringType) K d (W : 'M[R]_(K, d)) := forall i, gram W i i = 1.

Definition simplex_etf (R : fieldType) K d (W : 'M[R]_(K, d)) :=
  gram W = (K%:R / (K%:R - 1)) *: centring R K.

Section Bound.
Variables (R : realFieldType) (K d : nat).
Hypothesis K_gt1 : (1 < K)%N.
Implicit Types (W : 'M[R]_(K, d)) (m : R).

Let K_gt0 : 0 < K%:R :> R. Proof. by rewrite ltr0n ltnW. Qed.
Let K1_gt0 : 0 < K%:R - 1 :> R. Proof. by rewrite subr_gt0 ltr1n. Qed.
Let K_neq0 : K%:R != 0 :> R. Proof. by rewrite gt_eqF. Qed.
Let K1_neq0 : K%:R - 1 != 0 :> R. Proof. by rewrite gt_eqF. Qed.

Lemma centringE i j : centring R K i j = (i == j)%:R - K%:R^-1.
Proof. by rewrite !mxE big_ord1 !mxE !mulr1. Qed.

(* The two halves of the definition agree. *)
Theorem simplex_etf_entries W :
  simplex_etf W <-> unit_rows W /\ forall i j, i != j -> gram W i j = - (K%:R - 1)^-1.
Proof.
split=> [etf | [unit_w off_w]].
  split=> [i | i j ij]; rewrite etf mxE centringE.
    by rewrite eqxx /=; field; rewrite K1_neq0 K_neq0.
  by rewrite (negbTE ij) /=; field; rewrite K1_neq0 K_neq0.
apply/matrixP => i j; rewrite [RHS]mxE centringE.
rewrite /=; have [<-|ij] := eqVneq i j; first by rewrite unit_w /=; field; rewrite K1_neq0 K_neq0.
by rewrite off_w //=; field; rewrite K1_neq0 K_neq0.
Qed.

(* eq-etf-sum: the squared length of the sum of the vectors is the sum of all entries of the Gram matrix. *)
Lemma normsq_sum_rows W : normsq (W^T *m ones) = \sum_i \sum_j gram W i j.
Proof.
rewrite /normsq inner_mull trmxK mulmxA inner_ones; apply: eq_bigr => i _.
by rewrite mxE; apply: eq_bigr => j _; rewrite !mxE mulr1.
Qed.

(* The matrix with ones on the diagonal and m elsewhere, whose entries are the least that the proof allows. *)
Let bound m (i j : 'I_K) : R := if i == j then 1 else m.

Let sum_bound m i : \sum_j bound m i j = 1 + (K%:R - 1) * m.
Proof.
rewrite (bigD1 i) //= {1}/bound eqxx; congr (_ + _).
rewrite (eq_bigr (fun=> m)); last by move=> j ji; rewrite /bound eq_sym (negbTE ji).
rewrite sumr_const cardC1 card_ord -[m *+ _]mulr_natl; congr (_ * _).
by rewrite -subn1 natrB //; exact: ltnW.
Qed.

Theorem simplex_bound W m : unit_rows W -> (forall i j, i != j -> gram W i j <= m) -> - (K%:R - 1)^-1 <= m.
Proof.
move=> unit_w below.
have : 0 <= \sum_(i < K) (1 + (K%:R - 1) * m).
  apply: le_trans (normsq_ge0 (W^T *m ones)) _; rewrite normsq_sum_rows; apply: ler_sum => i _.
  rewrite -(sum_bound m i); apply: ler_sum => j _; rewrite /bound.
  by have [<-|ij] := eqVneq i j; [rewrite unit_w | apply: below].
rewrite sumr_const card_ord pmulrn_lge0; last exact: ltnW.
move=> pos.
have : 0 <= (K%:R - 1)^-1 * (1 + (K%:R - 1) * m) by rewrite mulr_ge0 // invr_ge0 ltW.
by rewrite mulrDr mulr1 mulKf // -ler_subl_addl sub0r.
Qed.

Theorem simplex_bound_equality W : unit_rows W ->
  (forall i j, i != j -> gram W i j <= - (K%:R - 1)^-1) <-> simplex_etf W.
Proof.
move=> unit_w; split=> [below | /simplex_etf_entries [_ off_w] i j ij]; last by rewrite off_w.
apply/simplex_etf_entries; split=> // i0 j0 ij0.
pose m : R := - (K%:R - 1)^-1; pose slack (i j : 'I_K) := bound m i j - gram W i j.
have slack_ge0 i j : true -> 0 <= slack i j.
  by move=> _; rewrite subr_ge0 /bound; have [<-|ij] := eqVneq i j; [rewrite unit_w | apply: below].
have row_ge0 i : true -> 0 <= \sum_j slack i j by move=> _; apply: sumr_ge0 => j _; apply: slack_ge0.
have all0 : \sum_i \sum_j slack i j = 0.
  apply/eqP; rewrite eq_le; apply/andP; split; last by apply: sumr_ge0 => i _; apply: row_ge0.
  rewrite (eq_bigr (fun i => \sum_j bound m i j - \sum_j gram W i j)); last by move=> i _; rewrite sumrB.
  rewrite sumrB big1 => [|i _]; last by rewrite sum_bound mulrN mulfV // subrr.
  by rewrite sub0r oppr_le0 -normsq_sum_rows normsq_ge0.
have row0 := psumr_eq0P row_ge0 all0 (i := i0) isT.
have /eqP := psumr_eq0P (slack_ge0 i0) row0 (i := j0) isT.
by rewrite subr_eq0 /bound (negbTE ij0) => /eqP.
Qed.

(* Step 3 of the proof of existence, too little room: the Gram matrix has rank K-1. *)
Theorem simplex_etf_needs_room W : simplex_etf W -> (K.-1 <= d)%N.
Proof.
move=> etf; rewrite -ltnS prednK; last exact: ltnW.
rewrite -addn1.
have rank_gram : (\rank (gram W) <= d)%N by rewrite (leq_trans (mxrankM_maxl _ _)) // rank_leq_col.
have rank_ones : (\rank ((K%:R - 1)^-1 *: (ones *m ones^T) : 'M[R]_K) <= 1)%N.
  by rewrite scalemxAl (leq_trans (mxrankM_maxr _ _)) // rank_leq_row.
have identity : (K%:R / (K%:R - 1)) *: 1%:M = gram W + (K%:R - 1)^-1 *: (ones *m ones^T).
  rewrite etf /centring scalerBr scalerA.
  have -> : K%:R / (K%:R - 1) / K%:R = (K%:R - 1)^-1 :> R by field; rewrite K1_neq0 K_neq0.
  by rewrite subrK.
have full : \rank ((K%:R / (K%:R - 1)) *: 1%:M : 'M[R]_K) = K.
  by rewrite mxrank_scale_nz ?mxrank1 // mulf_neq0 ?invr_eq0.
by rewrite -[X in (X <= _)%N]full identity (leq_trans (mxrank_add _ _)) // leq_add.
Qed.
End Bound.

Section Existence.
Variable R : rcfType.

(* One vector more, in one dimension more: the new vector points up, and the old ones, stretched, step down by
   1/sqrt K.  Starting from one vector in no dimension this gives K vectors in K-1 dimensions, Gram matrix K I - 11'. *)
Fixpoint pyramid k : 'M[R]_(k.+1, k) :=
  if k is k'.+1 then
    let K : R := k'.+1%:R in
    (block_mx (const_mx (Num.sqrt K)) 0 (const_mx (- (Num.sqrt K)^-1)) (Num.sqrt ((K + 1) / K) *: pyramid k')
       : 'M[R]_(1 + k'.+1, 1 + k'))
  else 0.

Lemma gram_block m n (a : 'M[R]_1) (c : 'M_(m, 1)) (D : 'M_(m, n)) :
  gram (block_mx a 0 c D) = block_mx (a *m a^T) (a *m c^T) (c *m a^T) (c *m c^T + gram D).
Proof. by rewrite /gram tr_block_mx mulmx_block trmx0 !mul0mx !mulmx0 !addr0. Qed.

Lemma pyramid_gram k : gram (pyramid k) = k.+1%:R *: 1%:M - ones *m ones^T.
Proof.
elim: k => [|k IH].
  by apply/matrixP => i j; rewrite !ord1 !mxE big_ord0 big_ord1 !mxE eqxx !mulr1 subrr.
set K : R := k.+1%:R; have K_gt0 : 0 < K by rewrite ltr0Sn.
have K_neq0 : K != 0 by rewrite gt_eqF.
have ratio_ge0 : 0 <= (K + 1) / K by rewrite divr_ge0 ?addr_ge0 ?ler01 ?(ltW K_gt0).
have sq : Num.sqrt K * Num.sqrt K = K by rewrite -expr2 sqr_sqrtr // ltW.
have root_neq0 : Num.sqrt K != 0 by rewrite sqrtr_eq0 -ltNge.
have next : k.+2%:R = K + 1 :> R by rewrite mulrSr.
have scaled : gram (Num.sqrt ((K + 1) / K) *: pyramid k) = (K + 1) / K *: gram (pyramid k).
  by rewrite /gram linearZ /= -scalemxAl -scalemxAr scalerA -expr2 sqr_sqrtr.
rewrite [LHS]gram_block -/K scaled IH -/K.
have -> : k.+2%:R *: 1%:M - ones *m ones^T
        = block_mx (const_mx K) (const_mx (-1)) (const_mx (-1)) ((K + 1) *: 1%:M - ones *m ones^T)
          :> 'M_(1 + k.+1, 1 + k.+1).
  apply/matrixP => i j; case: (@split_ordP 1 k.+1 i) => i' ->; case: (@split_ordP 1 k.+1 j) => j' ->.
  - by rewrite block_mxEul !mxE big_ord1 !mxE !ord1 eqxx next /= !mulr1 addrK.
  - by rewrite block_mxEur !mxE big_ord1 !mxE eq_shift /= mulr0 mulr1 sub0r.
  - by rewrite block_mxEdl !mxE big_ord1 !mxE eq_shift /= mulr0 mulr1 sub0r.
  - by rewrite block_mxEdr !mxE !big_ord1 !mxE eq_shift next.
congr (@block_mx R 1 k.+1 1 k.+1 _ _ _ _); apply/matrixP => i j; rewrite !mxE ?big_ord1 ?mxE ?sq //.
- by rewrite mulrN mulfV.
- by rewrite mulNr mulVf.
rewrite !mulr1 -/K mulrNN -invfM sq; field; exact: K_neq0.
Qed.

Theorem simplex_etf_exists K d : (1 < K)%N -> (K.-1 <= d)%N -> exists W : 'M[R]_(K, d), simplex_etf W.
Proof.
case: K => [|[|k]] // _ room; have {room} -> : d = (k.+1 + (d - k.+1))%N by rewrite subnKC.
set K : R := k.+2%:R; have K1 : K - 1 = k.+1%:R by rewrite /K mulrSr addrK.
have K1_gt0 : 0 < K - 1 by rewrite K1 ltr0Sn.
have K_neq0 : K != 0 by rewrite pnatr_eq0.
exists (row_mx ((Num.sqrt (K - 1))^-1 *: pyramid k.+1) 0).
rewrite /simplex_etf /gram tr_row_mx mul_row_col trmx0 mulmx0 addr0 linearZ /= -scalemxAl -scalemxAr scalerA.
rewrite -expr2 exprVn sqr_sqrtr; last exact: ltW.
have -> : pyramid k.+1 *m (pyramid k.+1)^T = gram (pyramid k.+1) by [].
rewrite pyramid_gram -/K /centring !scalerBr !scalerA; congr (_ *: _ - _ *: _).
  by rewrite mulrC.
by rewrite mulrAC mulfV // mul1r.
Qed.
End Existence.

Theorem simplex_etf_existence (R : rcfType) K d : (1 < K)%N ->
  (exists W : 'M[R]_(K, d), simplex_etf W) <-> (K.-1 <= d)%N.
Proof.
move=> K_gt1; split=> [[W etf] | room]; first exact: simplex_etf_needs_room etf.
exact: simplex_etf_exists.
Qed.
