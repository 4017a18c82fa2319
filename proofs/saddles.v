(* No bad valleys: chapter 5, eq-saddles-curvature, thm-saddles-benign.

   Identity.  Let Gu = sigma v with unit vectors u, v, let a be a unit vector with Wa = 0, mu = sqrt(lambda_W lambda_H),
   c = (lambda_H/lambda_W)^(1/4).  Along dW = c u a', dH = -(1/c) v a', db = 0 the second derivative of f is
   -2 (sigma - mu).

   Theorem.  Let lambda_W, lambda_H > 0, lambda_b >= 0, d >= K-1.  Every critical point of the unconstrained feature
   model is a global minimum or a strict saddle; it is a global minimum exactly if |G|_2 <= mu.

   The second derivative is taken as the formula eq-saddles-hessian, in which the loss enters through one quadratic
   form `curvature` (for cross-entropy the mean variance of the logits' change under the answers).  That the formula is
   the second derivative of f is not part of the proof.  Nothing is asked of the class sizes. *)
From mathcomp Require Import all_ssreflect all_algebra ring.
From collapse Require Import algebra landscape.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.Theory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Saddles.
Variables (R : realFieldType) (N K d : nat) (lambda_W lambda_H lambda_b : R).
Implicit Types (W : 'M[R]_(K, d)) (H : 'M[R]_(N, d)) (b : 'cV[R]_K) (G : 'M[R]_(N, K)).

(* eq-saddles-delta, eq-saddles-hessian *)
Definition second_derivative (curvature : 'M[R]_(N, K) -> R) G W H (dW : 'M[R]_(K, d)) (dH : 'M[R]_(N, d))
    (db : 'cV[R]_K) : R :=
  curvature (dH *m W^T + H *m dW^T + ones *m db^T) + 2%:R * inner G (dH *m dW^T)
  + lambda_W * normsq dW + lambda_H * normsq dH + lambda_b * normsq db.

Variable curvature : 'M[R]_(N, K) -> R.
Hypothesis curvature0 : curvature 0 = 0.

(* Along x a' and -y a' with Wa = 0 and Ha = 0 the logits do not change to first order. *)
Lemma along_null_vector G W H (x : 'cV[R]_K) (y : 'cV[R]_N) (a : 'cV[R]_d) : W *m a = 0 -> H *m a = 0 ->
  second_derivative curvature G W H (x *m a^T) (- (y *m a^T)) 0
  = normsq a * (lambda_W * normsq x + lambda_H * normsq y - 2%:R * inner y (G *m x)).
Proof.
move=> Wa Ha; rewrite /second_derivative normsq0 normsqN !normsq_rank_one.
have -> : - (y *m a^T) *m W^T + H *m (x *m a^T)^T + ones *m 0^T = 0.
  by rewrite trmx0 mulmx0 addr0 mulNmx -mulmxA -trmx_mul Wa trmx0 mulmx0 oppr0 add0r trmx_mul trmxK mulmxA Ha mul0mx.
rewrite curvature0; have -> : - (y *m a^T) *m (x *m a^T)^T = - (normsq a *: (y *m x^T)).
  by rewrite trmx_mul trmxK mulNmx -mulmxA (mulmxA a^T) inner_col mul_scalar_mx -scalemxAr.
by rewrite innerNr innerZr inner_rank_one; ring.
Qed.

Lemma features_share_null_vector G W H b (a : 'cV[R]_d) : lambda_H != 0 -> critical lambda_W lambda_H lambda_b G W H b ->
  W *m a = 0 -> H *m a = 0.
Proof.
move=> lh0 crit Wa; have := balance crit => /(congr1 (fun M => M *m a)).
rewrite -!scalemxAl -!mulmxA Wa !mulmx0 scaler0 => /esym/eqP; rewrite scaler_eq0 (negbTE lh0) /= => /eqP HHa.
by apply/eqP; rewrite -normsq_eq0 /normsq inner_mull HHa inner0r.
Qed.

(* eq-saddles-curvature.  c^4 = lambda_H/lambda_W and mu^2 = lambda_W lambda_H enter as lambda_W c^2 = mu and
   lambda_H = mu c^2. *)
Theorem strict_saddle_identity G W H b (u : 'cV[R]_K) (v : 'cV[R]_N) (a : 'cV[R]_d) (sigma mu c : R) :
  critical lambda_W lambda_H lambda_b G W H b -> lambda_H != 0 -> c != 0 ->
  lambda_W * c ^+ 2 = mu -> lambda_H = mu * c ^+ 2 ->
  normsq u = 1 -> normsq v = 1 -> normsq a = 1 -> G *m u = sigma *: v -> W *m a = 0 ->
  second_derivative curvature G W H (c *: (u *m a^T)) (- (c^-1 *: (v *m a^T))) 0 = - 2%:R * (sigma - mu).
Proof.
move=> crit lh0 c0 lw lh u1 v1 a1 Gu Wa; rewrite !scalemxAl along_null_vector //; last first.
  exact: features_share_null_vector crit Wa.
rewrite a1 !normsqZ u1 v1 -scalemxAr Gu !innerZl !innerZr -/(normsq v) v1 lh mulr1 mulr1 mul1r lw.
by rewrite exprVn; field.
Qed.

Hypotheses (lw_gt0 : 0 < lambda_W) (lh_gt0 : 0 < lambda_H).

(* A pattern u, v of residuals that pays for its own decay, and an unused dimension: a way down. *)
Lemma escape G W H b (u : 'cV[R]_K) (v : 'cV[R]_N) (a : 'cV[R]_d) :
  critical lambda_W lambda_H lambda_b G W H b -> a != 0 -> W *m a = 0 ->
  lambda_W * lambda_H * normsq u * normsq v < inner v (G *m u) ^+ 2 ->
  exists dW dH, second_derivative curvature G W H dW dH 0 < 0.
Proof.
move=> crit a0 Wa pays; set p := inner v (G *m u) in pays.
have Ha : H *m a = 0 by apply: features_share_null_vector crit Wa; rewrite gt_eqF.
have u0 : 0 < normsq u.
  rewrite normsq_gt0; apply/eqP => u0; move: pays.
  by rewrite /p u0 mulmx0 inner0r normsq0 mulr0 mul0r expr0n ltxx.
pose t := p / (lambda_W * normsq u).
exists ((t *: u) *m a^T), (- (v *m a^T)); rewrite along_null_vector // pmulr_rlt0 ?normsq_gt0 //.
rewrite normsqZ -scalemxAr innerZr -/p.
have lu : 0 < lambda_W * normsq u by rewrite mulr_gt0.
have -> : lambda_W * (t ^+ 2 * normsq u) + lambda_H * normsq v - 2%:R * (t * p)
        = (lambda_W * normsq u)^-1 * (lambda_W * lambda_H * normsq u * normsq v - p ^+ 2).
  by rewrite /t; field; rewrite !gt_eqF.
by rewrite pmulr_rlt0 ?invr_gt0 // subr_lt0.
Qed.

(* There is always a null vector, or nothing to prove. *)
Lemma null_vector_or_bound G W H b : (K <= d.+1)%N -> G *m ones = 0 -> critical lambda_W lambda_H lambda_b G W H b ->
  (exists2 a : 'cV[R]_d, a != 0 & W *m a = 0) \/ spectral_bound lambda_W lambda_H G.
Proof.
move=> room G1 crit; have [GH GW _] := crit.
have oneW : ones^T *m W = 0 by apply: mean_row_is_zero crit; rewrite ?gt_eqF.
have [full | /negbTE not_full] := boolP (row_free W^T); last first.
  left; have := kermx_eq0 W^T; rewrite not_full => /negbT /rowV0Pn[a ker a0].
  by exists a^T; rewrite ?trmx_eq0 //; apply: trmx_inj; rewrite trmx_mul trmxK trmx0; apply/sub_kermxP.
right => u v; apply: le_trans (cauchy_schwarz _ _) _; rewrite mulrC ler_wpmul2r ?normsq_ge0 //.
pose B : 'M[R]_K := G^T *m G - (lambda_W * lambda_H) *: (1%:M - K%:R^-1 *: (ones *m ones^T)).
suff B0 : B = 0.
  have -> : normsq (G *m u) = lambda_W * lambda_H * (normsq u - K%:R^-1 * inner ones u ^+ 2).
    have GG : G^T *m G = (lambda_W * lambda_H) *: (1%:M - K%:R^-1 *: (ones *m ones^T)).
      by apply/eqP; rewrite -subr_eq0 -/B B0.
    rewrite /normsq inner_mull mulmxA GG -scalemxAl innerZr mulmxBl mul1mx innerDr innerNr -/(normsq u).
    congr (_ * (_ - _)); rewrite -scalemxAl innerZr -mulmxA inner_col mul_mx_scalar innerZr expr2.
    by rewrite (innerC u).
  rewrite ler_wpmul2l ?mulr_ge0 ?(ltW lw_gt0) ?(ltW lh_gt0) // ler_subl_addr ler_addl mulr_ge0 ?sqr_ge0 //.
  by rewrite invr_ge0 ler0n.
pose M : 'M[R]_(K, d + 1) := row_mx W ones.
have BM : B *m M = 0.
  have BW : B *m W = 0.
    rewrite /B mulmxBl -mulmxA GW -scalemxAl mulmxBl mul1mx -scalemxAl -mulmxA oneW mulmx0 scaler0 subr0.
    by rewrite -scalemxAr GH scalerA mulrNN (mulrC lambda_H) subrr.
  have B1 : B *m ones = 0.
    apply/matrixP => i j; have K_neq0 : K%:R != 0 :> R by rewrite pnatr_eq0 -lt0n (leq_trans _ (ltn_ord i)).
    congr (_ i j); rewrite /B mulmxBl -mulmxA G1 mulmx0 -scalemxAl mulmxBl mul1mx -scalemxAl -mulmxA inner_col.
    by rewrite -/(normsq _) normsq_ones mul_mx_scalar scalerA mulVf // scale1r subrr scaler0 subr0.
  by rewrite mul_mx_row BW B1 row_mx0.
have rankM : row_free M.
  rewrite /row_free eqn_leq rank_leq_row /=; have [K0 | K_gt0] := posnP K.
    by apply: (@leq_trans 0%N) => //; rewrite leqn0 K0.
  apply: leq_trans room _; rewrite -addn1 -mxrank_tr.
  suff /eqP -> : row_free M^T by [].
  rewrite -kermx_eq0; apply/rowV0P => r /sub_kermxP; rewrite -[r]hsubmxK tr_row_mx mul_row_col.
  set z := lsubmx r; set t := rsubmx r => zt.
  have t0 : t = 0.
    have /(congr1 (fun X => X *m ones)) := zt; rewrite mulmxDl mul0mx -!mulmxA.
    have -> : W^T *m ones = 0 by apply: trmx_inj; rewrite trmx_mul trmxK oneW trmx0.
    rewrite mulmx0 add0r inner_col -/(normsq _) normsq_ones mul_mx_scalar => /eqP.
    by rewrite scaler_eq0 pnatr_eq0 -leqn0 leqNgt K_gt0 => /eqP.
  have z0 : z = 0 by apply: (row_free_inj full); rewrite mul0mx -zt t0 mul0mx addr0.
  by rewrite z0 t0 row_mx0.
by apply: (row_free_inj rankM); rewrite BM mul0mx.
Qed.

(* A critical point without a way down satisfies the certificate's condition ... *)
Theorem no_escape_certified G W H b : (K <= d.+1)%N -> G *m ones = 0 ->
  critical lambda_W lambda_H lambda_b G W H b ->
  (forall dW dH, 0 <= second_derivative curvature G W H dW dH 0) -> spectral_bound lambda_W lambda_H G.
Proof.
move=> room G1 crit no_way u v; have [[a a0 Wa] | ] := null_vector_or_bound room G1 crit; last exact.
rewrite leNgt; apply/negP => pays; have [dW [dH down]] := escape crit a0 Wa pays.
by have := lt_le_trans down (no_way dW dH); rewrite ltxx.
Qed.

(* ... and so it is a global minimum: every critical point that is not one is a strict saddle. *)
Theorem no_bad_valleys (g : 'M[R]_(N, K) -> R) G W H b : (K <= d.+1)%N -> 0 <= lambda_b -> G *m ones = 0 ->
  (forall A, g (logits W H b) + inner G (A - logits W H b) <= g A) ->
  critical lambda_W lambda_H lambda_b G W H b ->
  (forall dW dH, 0 <= second_derivative curvature G W H dW dH 0) ->
  forall W' H' b', objective g lambda_W lambda_H lambda_b W H b <= objective g lambda_W lambda_H lambda_b W' H' b'.
Proof.
move=> room lb_ge0 G1 tangent crit no_way.
have bound := no_escape_certified room G1 crit no_way.
by apply: (certified_is_global _ _ tangent lb_ge0 crit bound); apply: ltW.
Qed.
End Saddles.
