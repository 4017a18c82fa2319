(* The Welch bound: chapter 2, thm-etf-welch.

   For any K >= 2 unit vectors in R^d with d <= K,  mu(W) >= sqrt((K-d)/(d(K-1))),  with equality if and only if all
   |<w_j, w_k>|, j != k, are equal (equiangular) and W'W = (K/d) I (tight frame).

   Here m stands for mu^2, so that no root is taken and the theorem holds over any ordered field.  The book reads the
   step from Cauchy and Schwarz off the eigenvalues of W'W; here it is the squared distance of W'W from (K/d) I. *)
From mathcomp Require Import all_ssreflect all_algebra ring.
From collapse Require Import algebra simplex_etf.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.Theory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Welch.
Variables (R : realFieldType) (K d : nat) (W : 'M[R]_(K, d)).
Hypotheses (K_gt1 : (1 < K)%N) (d_gt0 : (0 < d)%N) (unit_w : unit_rows W).

Let K_gt0 : 0 < K%:R :> R. Proof. by rewrite ltr0n ltnW. Qed.
Let K1_gt0 : 0 < K%:R - 1 :> R. Proof. by rewrite subr_gt0 ltr1n. Qed.
Let D_gt0 : 0 < d%:R :> R. Proof. by rewrite ltr0n. Qed.
Let K_neq0 : K%:R != 0 :> R. Proof. by rewrite gt_eqF. Qed.
Let K1_neq0 : K%:R - 1 != 0 :> R. Proof. by rewrite gt_eqF. Qed.
Let D_neq0 : d%:R != 0 :> R. Proof. by rewrite gt_eqF. Qed.

(* (K-d)/(d(K-1)), the square of the bound. *)
Definition welch_bound_squared : R := (K%:R - d%:R) / (d%:R * (K%:R - 1)).

Definition tight_frame := W^T *m W = (K%:R / d%:R) *: 1%:M.

(* eq-etf-trace *)
Lemma trace_gram : \tr (gram W) = K%:R.
Proof. by rewrite /mxtrace (eq_bigr (fun=> 1)) ?sumr_const ?card_ord // => i _; rewrite unit_w. Qed.

(* The two Gram matrices have the same norm. *)
Lemma normsq_gram : normsq (gram W) = normsq (W^T *m W).
Proof. by rewrite /normsq /gram inner_mulr (inner_mull W^T) !trmxK mulmxA. Qed.

(* eq-etf-cauchy, as an identity. *)
Lemma distance_from_tight :
  normsq (W^T *m W - (K%:R / d%:R) *: 1%:M) = normsq (gram W) - K%:R ^+ 2 / d%:R.
Proof.
rewrite normsqB normsqZ innerZr -normsq_gram.
have -> : inner (W^T *m W) 1%:M = K%:R by rewrite inner_mull trmxK mulmx1 inner_tr mxtrace_mulC trace_gram.
have -> : normsq (1%:M : 'M[R]_d) = d%:R by rewrite /normsq inner_tr trmx1 mulmx1 mxtrace1.
by rewrite -mulr_natr; field.
Qed.

(* eq-etf-frobenius: what is missing from the largest possible norm. *)
Lemma distance_from_equiangular m :
  \sum_i \sum_(j | j != i) (m - gram W i j ^+ 2) = K%:R + K%:R * (K%:R - 1) * m - normsq (gram W).
Proof.
have row i : \sum_(j | j != i) (m - gram W i j ^+ 2)
           = (1 + (K%:R - 1) * m) - \sum_j gram W i j * gram W i j.
  rewrite sumrB sumr_const cardC1 card_ord [in RHS](bigD1 i) //= unit_w.
  have -> : m *+ K.-1 = (K%:R - 1) * m.
    by rewrite -mulr_natl; congr (_ * _); rewrite -subn1 natrB //; exact: ltnW.
  rewrite (eq_bigr (fun j => gram W i j * gram W i j)); last by move=> j _; rewrite expr2.
  by set rest := \sum_(j | j != i) _; ring.
rewrite (eq_bigr _ (fun i _ => row i)) sumrB sumr_const card_ord; congr (_ - _).
by rewrite -mulr_natl; ring.
Qed.

Lemma slack_ge0 m : (forall i j, i != j -> gram W i j ^+ 2 <= m) ->
  forall i, true -> 0 <= \sum_(j | j != i) (m - gram W i j ^+ 2).
Proof. by move=> below i _; apply: sumr_ge0 => j ji; rewrite subr_ge0 below // eq_sym. Qed.

(* What the bound and the case of equality both rest on. *)
Lemma welch_identity m :
  \sum_i \sum_(j | j != i) (m - gram W i j ^+ 2) + normsq (W^T *m W - (K%:R / d%:R) *: 1%:M)
  = K%:R * (K%:R - 1) * (m - welch_bound_squared).
Proof.
rewrite distance_from_equiangular distance_from_tight /welch_bound_squared; field.
by rewrite K1_neq0 D_neq0.
Qed.

Theorem welch_bound m : (forall i j, i != j -> gram W i j ^+ 2 <= m) -> welch_bound_squared <= m.
Proof.
move=> below; have : 0 <= K%:R * (K%:R - 1) * (m - welch_bound_squared).
  by rewrite -welch_identity addr_ge0 ?normsq_ge0 //; apply: sumr_ge0; apply: slack_ge0.
by rewrite pmulr_rge0 ?subr_ge0 // mulr_gt0.
Qed.

Theorem welch_bound_equality :
  (forall i j, i != j -> gram W i j ^+ 2 <= welch_bound_squared) <->
  (forall i j k l, i != j -> k != l -> gram W i j ^+ 2 = gram W k l ^+ 2) /\ tight_frame.
Proof.
have pair : exists i0 j0 : 'I_K, i0 != j0 by exists (Ordinal (ltnW K_gt1)), (Ordinal K_gt1).
split=> [below | [equal tight] i j ij].
  have := welch_identity welch_bound_squared; rewrite subrr mulr0 => /eqP.
  rewrite paddr_eq0 ?normsq_ge0 //; last by apply: sumr_ge0; apply: slack_ge0.
  rewrite normsq_eq0 subr_eq0 => /andP[/eqP all0 /eqP tight].
  have value i j : i != j -> gram W i j ^+ 2 = welch_bound_squared.
    move=> ij; have row0 := psumr_eq0P (slack_ge0 below) all0 (i := i) isT.
    have pos k : k != i -> 0 <= welch_bound_squared - gram W i k ^+ 2.
      by move=> ki; rewrite subr_ge0 below // eq_sym.
    have := psumr_eq0P pos row0 (i := j); rewrite eq_sym ij => /(_ isT) /eqP.
    by rewrite subr_eq0 => /eqP.
  by split=> // i j k l ij kl; rewrite !value.
have := welch_identity (gram W i j ^+ 2); rewrite tight subrr normsq0 addr0 big1 => [|k _].
  by move/esym/eqP; rewrite mulf_eq0 subr_eq0 mulf_eq0 (negbTE K_neq0) (negbTE K1_neq0) => /= /eqP ->.
by rewrite big1 // => l lk; rewrite (equal i j k l) ?subrr // eq_sym.
Qed.
End Welch.
