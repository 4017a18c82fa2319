(* Cross-entropy: chapters 3 and 4, eq-optimal-gibbs, thm-optimal-certificate, thm-ufm-optimum.

   Over the real numbers of mathcomp-analysis, with their exponential and logarithm.  The theorems of landscape.v ask the
   loss for a linear lower bound and for the tangent inequality; here cross-entropy is shown to have both, and the
   certificate, the verdict at critical points and the value of the optimum follow. *)
From mathcomp Require Import all_ssreflect all_algebra ring.
From mathcomp Require Import boolp reals topology normedtype derive sequences exp.
From collapse Require Import algebra landscape.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.Theory GRing.Theory Num.Theory.
Import numFieldTopology.Exports.
Local Open Scope ring_scope.

Section Gibbs.
Variable R : realType.

(* The exponential lies above its tangent at zero, on both sides of it. *)
Lemma exp_tangent (x : R) : 1 + x <= expR x.
Proof.
have [x_ge0 | x_lt0] := leP 0 x; first exact: expR_ge1Dx.
have [|c] := @MVT R expR expR x 0 x_lt0 (fun y _ => is_derive_expR y).
  exact/continuous_subspaceT/continuous_expR.
rewrite in_itv /= => /andP[_ c_lt0]; rewrite expR0 sub0r => rise.
have -> : expR x = 1 + expR c * x by rewrite -[LHS](subKr 1) rise mulrN opprK.
have c_le1 : expR c <= 1 by rewrite ltW // expR_lt1.
rewrite ler_add2l -subr_ge0; have -> : expR c * x - x = (1 - expR c) * (- x) by ring.
by rewrite mulr_ge0 ?subr_ge0 // oppr_ge0 ltW.
Qed.

Variable K : nat.
Implicit Types a p : 'I_K -> R.

Definition partition a : R := \sum_j expR (a j).
Definition softmax a j : R := expR (a j) / partition a.
Definition entropy p : R := - \sum_j p j * ln (p j).
Definition probabilities p := (forall j, 0 <= p j) /\ \sum_j p j = 1.

Hypothesis K_gt0 : (0 < K)%N.

Lemma partition_gt0 a : 0 < partition a.
Proof.
rewrite /partition (bigD1 (Ordinal K_gt0)) //= ltr_spaddl ?expR_gt0 //.
by apply: sumr_ge0 => j _; rewrite ltW // expR_gt0.
Qed.

Lemma softmax_probabilities a : probabilities (softmax a).
Proof.
have S_gt0 := partition_gt0 a; split=> [j|]; first by rewrite divr_ge0 ?ltW ?expR_gt0.
by rewrite -mulr_suml mulfV // gt_eqF.
Qed.

(* eq-optimal-gibbs, with 0 log 0 = 0. *)
Theorem gibbs a p : probabilities p -> \sum_j p j * a j + entropy p <= ln (partition a).
Proof.
case=> p_ge0 p1; have S_gt0 := partition_gt0 a.
have term j : p j * (1 + (a j - ln (partition a) - ln (p j))) <= softmax a j.
  have := p_ge0 j; rewrite le_eqVlt => /orP[/eqP <- | pj_gt0].
    by rewrite mul0r divr_ge0 ?ltW ?expR_gt0.
  have -> : softmax a j = p j * expR (a j - ln (partition a) - ln (p j)).
    by rewrite !expRB !lnK // /softmax; field; rewrite !gt_eqF.
  by rewrite ler_pmul2l // exp_tangent.
have : \sum_j p j * (1 + (a j - ln (partition a) - ln (p j))) <= \sum_j softmax a j by apply: ler_sum.
rewrite (proj2 (softmax_probabilities a)).
have -> : \sum_j p j * (1 + (a j - ln (partition a) - ln (p j)))
        = 1 + (\sum_j p j * a j + entropy p - ln (partition a)).
  rewrite (eq_bigr (fun j => p j + p j * a j - p j * ln (partition a) - p j * ln (p j))); last by move=> j _; ring.
  have -> : \sum_j (p j + p j * a j - p j * ln (partition a) - p j * ln (p j))
          = \sum_j p j + \sum_j p j * a j - (\sum_j p j) * ln (partition a) - \sum_j p j * ln (p j).
    by rewrite !sumrB big_split mulr_suml.
  rewrite p1 mul1r /entropy.
  by move: (\sum_j p j * a j) (\sum_j p j * ln (p j)) (ln _) => x y z; ring.
by rewrite ger_addl subr_le0.
Qed.

(* Softmax turns it into an equality. *)
Lemma gibbs_softmax a : \sum_j softmax a j * a j + entropy (softmax a) = ln (partition a).
Proof.
have S_gt0 := partition_gt0 a; rewrite /entropy -sumrN -big_split /=.
rewrite (eq_bigr (fun j => softmax a j * ln (partition a))) => [|j _].
  by rewrite -mulr_suml (proj2 (softmax_probabilities a)) mul1r.
rewrite {3}/softmax ln_div ?expK ?posrE ?expR_gt0 //; ring.
Qed.
End Gibbs.

Section Model.
Variables (R : realType) (n_samples K d : nat) (label : 'I_n_samples -> 'I_K).
Hypotheses (K_gt0 : (0 < K)%N) (N_gt0 : (0 < n_samples)%N).
Let N : R := n_samples%:R.
Let N_pos : 0 < N. Proof. by rewrite /N ltr0n. Qed.
Implicit Types (A P : 'M[R]_(n_samples, K)) (W : 'M[R]_(K, d)) (H : 'M[R]_(n_samples, d)) (b : 'cV[R]_K).

(* CE(a, y) = log sum_j exp a_j - a_y, averaged over the samples: the g of chapter 4. *)
Definition cross_entropy A : R := N^-1 * \sum_i (ln (partition (A i)) - A i (label i)).

(* Y = (Pi - E)/N *)
Definition residual P : 'M[R]_(n_samples, K) := \matrix_(i, j) (N^-1 * (P i j - (j == label i)%:R)).

Definition answers A : 'M[R]_(n_samples, K) := \matrix_(i, j) softmax (A i) j.

Definition mean_entropy P : R := N^-1 * \sum_i entropy (P i).

Lemma inner_residual P A :
  inner (residual P) A = N^-1 * \sum_i (\sum_j P i j * A i j - A i (label i)).
Proof.
rewrite /inner mulr_sumr; apply: eq_bigr => i _.
have -> : A i (label i) = \sum_j (j == label i)%:R * A i j.
  by rewrite (bigD1 (label i)) //= eqxx mul1r big1 ?addr0 // => j /negbTE ->; rewrite mul0r.
by rewrite -sumrB mulr_sumr; apply: eq_bigr => j _; rewrite mxE -mulrA mulrBl.
Qed.

(* eq-optimal-conjugate *)
Theorem cross_entropy_linear_bound P A : (forall i, probabilities (P i)) ->
  inner (residual P) A + mean_entropy P <= cross_entropy A.
Proof.
move=> prob; rewrite inner_residual -mulrDr ler_pmul2l ?invr_gt0 // -big_split /=.
by apply: ler_sum => i _; rewrite addrAC ler_sub // gibbs.
Qed.

Lemma cross_entropy_answers A : inner (residual (answers A)) A + mean_entropy (answers A) = cross_entropy A.
Proof.
rewrite inner_residual -mulrDr -big_split /=; congr (_ * _); apply: eq_bigr => i _.
rewrite addrAC; congr (_ - _); rewrite -gibbs_softmax //; congr (_ + _).
  by apply: eq_bigr => j _; rewrite mxE.
by congr (- _); apply: eq_bigr => j _; rewrite mxE.
Qed.

Lemma answers_probabilities A i : probabilities (answers A i).
Proof.
have [pos one] := softmax_probabilities K_gt0 (A i).
by split=> [j|]; [rewrite mxE | rewrite -[RHS]one; apply: eq_bigr => j _; rewrite mxE].
Qed.

(* Cross-entropy lies above its tangents: G = (answers - E)/N is its derivative. *)
Theorem cross_entropy_tangent A0 A :
  cross_entropy A0 + inner (residual (answers A0)) (A - A0) <= cross_entropy A.
Proof.
rewrite innerDr innerNr -(cross_entropy_answers A0).
apply: le_trans (cross_entropy_linear_bound A (answers_probabilities A0)).
by rewrite addrC addrA subrK.
Qed.

Variables lambda_W lambda_H lambda_b : R.
Hypotheses (lw_gt0 : 0 < lambda_W) (lh_gt0 : 0 < lambda_H) (lb_ge0 : 0 <= lambda_b).
Let f := @objective R n_samples K d cross_entropy lambda_W lambda_H lambda_b.

(* thm-optimal-certificate, for lambda_b > 0 and for lambda_b >= 0. *)
Theorem cross_entropy_certificate P W H b : (forall i, probabilities (P i)) ->
  spectral_bound lambda_W lambda_H (residual P) -> 0 < lambda_b ->
  mean_entropy P - normsq ((residual P)^T *m ones) / (2%:R * lambda_b) <= f W H b.
Proof.
move=> prob bound lb_gt0; apply: certificate => //; try exact: ltW.
by move=> A; apply: cross_entropy_linear_bound.
Qed.

Theorem cross_entropy_certificate_free_bias P W H b : (forall i, probabilities (P i)) ->
  spectral_bound lambda_W lambda_H (residual P) -> (residual P)^T *m ones = 0 -> mean_entropy P <= f W H b.
Proof.
move=> prob bound Y1; apply: (@certificate_free_bias R n_samples K d _ lambda_W lambda_H lambda_b _ _ (residual P)) => //; try exact: ltW.
by move=> A; apply: cross_entropy_linear_bound.
Qed.

(* The second half of the theorem: at a critical point softmax's own answers decide. *)
Theorem critical_point_is_global W H b :
  let G := residual (answers (logits W H b)) in
  critical lambda_W lambda_H lambda_b G W H b -> spectral_bound lambda_W lambda_H G ->
  forall W' H' b', f W H b <= f W' H' b'.
Proof.
move=> G crit bound; apply: (@certified_is_global R n_samples K d _ lambda_W lambda_H lambda_b _ _ G) => //; try exact: ltW.
by move=> A; apply: cross_entropy_tangent.
Qed.

Section Optimum.
(* Balanced classes: every class has n samples. *)
Variables (n : nat) (q : R).
Hypotheses (balanced : forall k, #|[pred i | label i == k]| = n) (q_gt0 : 0 < q) (small : K%:R * q <= 1).
Hypothesis q_is_root : q ^+ 2 = n%:R * lambda_W * lambda_H.

(* The multiplier of the second proof: probability q on every wrong class. *)
Let P : 'M[R]_(n_samples, K) := \matrix_(i, j) if j == label i then 1 - (K%:R - 1) * q else q.

Lemma N_is_nK : N = n%:R * K%:R.
Proof.
rewrite /N -natrM; congr _%:R; rewrite -[LHS]card_ord -sum1_card (partition_big label predT) //=.
rewrite (eq_bigr (fun=> n)) => [|k _]; last by rewrite sum1_card -(balanced k).
by rewrite sum_nat_const card_ord mulnC.
Qed.

Let K_pos : 0 < K%:R :> R. Proof. by rewrite ltr0n. Qed.
Let n_pos : 0 < n%:R :> R.
Proof. by have := N_pos; rewrite N_is_nK pmulr_lgt0. Qed.

Lemma P_probabilities i : probabilities (P i).
Proof.
split=> [j|].
  rewrite mxE; case: ifP => _; last exact: ltW.
  rewrite subr_ge0; apply: le_trans small; rewrite -subr_ge0.
  have -> : K%:R * q - (K%:R - 1) * q = q by ring.
  exact: ltW.
rewrite (bigD1 (label i)) //= mxE eqxx (eq_bigr (fun=> q)) => [|j /negbTE ji]; last by rewrite mxE ji.
rewrite sumr_const cardC1 card_ord -[q *+ _]mulr_natl -subn1 natrB //; ring.
Qed.

(* Y = -(Kq/N) E C, eq-optimal-entropy's multiplier. *)
Lemma residual_P i j : residual P i j = - (q / n%:R) * ((j == label i)%:R - K%:R^-1).
Proof.
rewrite !mxE N_is_nK; have [_|_] /= := eqVneq j (label i); field; rewrite !gt_eqF //.
Qed.

Lemma entropy_P i : entropy (P i) = - ((1 - (K%:R - 1) * q) * ln (1 - (K%:R - 1) * q) + (K%:R - 1) * q * ln q).
Proof.
congr (- _); rewrite (bigD1 (label i)) //= mxE eqxx; congr (_ + _).
rewrite (eq_bigr (fun=> q * ln q)) => [|j /negbTE ji]; last by rewrite mxE ji.
by rewrite sumr_const cardC1 card_ord -[_ *+ _]mulr_natl -subn1 natrB // mulrA.
Qed.
Let sum_over_samples (F : 'I_K -> R) : \sum_i F (label i) = n%:R * \sum_k F k.
Proof.
rewrite (partition_big label predT) //= mulr_sumr; apply: eq_bigr => k _.
rewrite (eq_bigr (fun=> F k)) => [|i /eqP -> //].
by rewrite sumr_const -(balanced k) mulr_natl.
Qed.

Let sum_centred (u : 'I_K -> R) : \sum_k (u k - K%:R^-1 * \sum_l u l) = 0.
Proof. by rewrite sumrB sumr_const card_ord -[(_ * _) *+ _]mulr_natl mulrA mulfV ?mul1r ?subrr // gt_eqF. Qed.

Lemma residual_P_spectral : spectral_bound lambda_W lambda_H (residual P).
Proof.
move=> u v; apply: le_trans (cauchy_schwarz _ _) _; rewrite mulrC ler_wpmul2r ?normsq_ge0 //.
pose m := K%:R^-1 * \sum_l u l 0.
have entry i : (residual P *m u) i 0 = - (q / n%:R) * (u (label i) 0 - m).
  rewrite mxE (eq_bigr (fun j => - (q / n%:R) * ((j == label i)%:R * u j 0 - K%:R^-1 * u j 0))) => [|j _].
    rewrite -mulr_sumr sumrB -mulr_sumr; congr (_ * (_ - _)).
    by rewrite (bigD1 (label i)) //= eqxx mul1r big1 ?addr0 // => j /negbTE ->; rewrite mul0r.
  by rewrite residual_P -mulrA mulrBl.
have -> : normsq (residual P *m u) = (q / n%:R) ^+ 2 * \sum_i (u (label i) 0 - m) ^+ 2.
  rewrite mulr_sumr; apply: eq_bigr => i _; rewrite big_ord1 entry -expr2 exprMn sqrrN //.
rewrite (sum_over_samples (fun k => (u k 0 - m) ^+ 2)).
have -> : (q / n%:R) ^+ 2 * (n%:R * \sum_k (u k 0 - m) ^+ 2) = lambda_W * lambda_H * \sum_k (u k 0 - m) ^+ 2.
  rewrite mulrA; congr (_ * _); apply: (mulfI (x := n%:R)); first by rewrite gt_eqF.
  rewrite [RHS]mulrA -q_is_root; field; by rewrite gt_eqF.
rewrite ler_wpmul2l ?mulr_ge0 ?(ltW lw_gt0) ?(ltW lh_gt0) //.
have -> : normsq u = \sum_k (u k 0 - m) ^+ 2 + K%:R * m ^+ 2.
  have -> : normsq u = \sum_k ((u k 0 - m) ^+ 2 + 2%:R * m * (u k 0 - m) + m ^+ 2).
    by apply: eq_bigr => k _; rewrite big_ord1; move: (u k 0) (m) => x y; ring.
  by rewrite !big_split /= -mulr_sumr sum_centred mulr0 addr0 sumr_const card_ord mulr_natl.
by rewrite ler_addl mulr_ge0 ?sqr_ge0 ?ler0n.
Qed.

Lemma residual_P_balanced : (residual P)^T *m ones = 0.
Proof.
apply/matrixP => j z; rewrite !mxE (eq_bigr (fun i => - (q / n%:R) * ((j == label i)%:R - K%:R^-1))) => [|i _].
  rewrite -mulr_sumr (sum_over_samples (fun k => (j == k)%:R - K%:R^-1)) sumrB sumr_const card_ord.
  rewrite (bigD1 j) //= eqxx big1 ?addr0 => [|k kj]; last by rewrite eq_sym (negbTE kj).
  by rewrite -[_^-1 *+ _]mulr_natl mulfV ?gt_eqF // subrr !mulr0.
by rewrite mxE [X in _ * X]mxE mulr1 residual_P.
Qed.

(* thm-ufm-optimum, thm-optimal-main, the bound: f >= f*, the entropy of the best answers (eq-optimal-entropy). *)
Theorem optimum_lower_bound W H b :
  - ((1 - (K%:R - 1) * q) * ln (1 - (K%:R - 1) * q) + (K%:R - 1) * q * ln q) <= f W H b.
Proof.
have -> : - ((1 - (K%:R - 1) * q) * ln (1 - (K%:R - 1) * q) + (K%:R - 1) * q * ln q) = mean_entropy P.
  rewrite /mean_entropy (eq_bigr _ (fun i _ => entropy_P i)) sumr_const card_ord -[(- _) *+ _]mulr_natl mulrA mulVf ?mul1r //.
  by rewrite gt_eqF.
apply: cross_entropy_certificate_free_bias; [exact: P_probabilities | exact: residual_P_spectral |].
exact: residual_P_balanced.
Qed.

(* The same bound as the book writes it, with the margin s = log(1/q - (K-1)); here Kq < 1. *)
Theorem optimum_lower_bound_margin W H b (s : R) : K%:R * q < 1 -> s = ln (q^-1 - (K%:R - 1)) ->
  ln (1 + (K%:R - 1) * expR (- s)) + q * (K%:R - 1) * s <= f W H b.
Proof.
move=> Kq s_def; apply: le_trans (optimum_lower_bound W H b); rewrite le_eqVlt; apply/orP; left; apply/eqP.
set r := 1 - (K%:R - 1) * q.
have r_pos : 0 < r.
  have -> : r = (1 - K%:R * q) + q by rewrite /r; ring.
  by rewrite addr_gt0 ?subr_gt0.
have es : q^-1 - (K%:R - 1) = r / q by rewrite /r; field; rewrite gt_eqF.
have -> : s = ln r - ln q by rewrite s_def es ln_div.
have -> : 1 + (K%:R - 1) * expR (- (ln r - ln q)) = r^-1.
  by rewrite opprB expRB !lnK // /r; field; rewrite -/r !gt_eqF.
rewrite lnV // -/r /r; move: (ln _) (ln q) => x y; ring.
Qed.
End Optimum.
End Model.
