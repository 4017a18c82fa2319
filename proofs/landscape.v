(* The algebra of the optimum, the certificate and the strict saddle, over any ordered field and for any convex loss of
   the logits: chapters 4 and 5, prop-ufm-balance, lem-optimal-nuclear, thm-optimal-certificate, thm-saddles-benign.

   f(W,H,b) = g(HW' + 1b') + lambda_W/2 |W|^2 + lambda_H/2 |H|^2 + lambda_b/2 |b|^2.

   As in the code, W is K x d and H is N x d, one feature a row; b is a column.  Nothing is asked of the class sizes.
   What the theorems need of the loss g is stated where it is used: a linear lower bound, or the tangent inequality
   g(A) >= g(A0) + <G, A - A0> at the point.  That cross-entropy has it is proved in certificate.v.

   The spectral norm needs no singular values either:  |Y|_2 <= mu  says that (v'Yu)^2 <= mu^2 |u|^2 |v|^2 for all
   vectors, and mu^2 = lambda_W lambda_H needs no root. *)
From mathcomp Require Import all_ssreflect all_algebra ring.
From collapse Require Import algebra.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.Theory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Model.
Variables (R : realFieldType) (N K d : nat) (g : 'M[R]_(N, K) -> R) (lambda_W lambda_H lambda_b : R).
Implicit Types (W : 'M[R]_(K, d)) (H : 'M[R]_(N, d)) (b : 'cV[R]_K) (Y G : 'M[R]_(N, K)).

Definition logits W H b : 'M[R]_(N, K) := H *m W^T + ones *m b^T.

Definition objective W H b : R :=
  g (logits W H b) + lambda_W / 2%:R * normsq W + lambda_H / 2%:R * normsq H + lambda_b / 2%:R * normsq b.

(* |Y|_2 <= sqrt(lambda_W lambda_H), without roots. *)
Definition spectral_bound Y :=
  forall (u : 'cV[R]_K) (v : 'cV[R]_N), inner v (Y *m u) ^+ 2 <= lambda_W * lambda_H * normsq u * normsq v.

(* eq-optimal-critical, with G the derivative of g at the logits. *)
Definition critical G W H b :=
  [/\ G^T *m H = - lambda_W *: W, G *m W = - lambda_H *: H & G^T *m ones = - lambda_b *: b].

(* eq-optimal-balance *)
Theorem balance G W H b : critical G W H b -> lambda_W *: (W^T *m W) = lambda_H *: (H^T *m H).
Proof.
move=> [GH GW _]; apply: oppr_inj; rewrite -!scaleNr.
have -> : - lambda_W *: (W^T *m W) = W^T *m (G^T *m H) by rewrite GH -scalemxAr.
by rewrite mulmxA -trmx_mul GW linearZ /= -scalemxAl.
Qed.

(* Balance implies equal budgets: both decays cost the same, and the same as the pairing of G with the logits. *)
Theorem equal_budgets G W H b : critical G W H b ->
  lambda_W * normsq W = lambda_H * normsq H /\ inner G (H *m W^T) = - (lambda_W * normsq W).
Proof.
move=> crit; split.
  by have /(congr1 mxtrace) := balance crit; rewrite !mxtraceZ /normsq !inner_tr.
have [GH _ _] := crit; rewrite innerC inner_mulr trmxK.
by rewrite innerC inner_mull -[W in inner W _]trmxK; rewrite trmxK innerC GH innerZl mulNr.
Qed.

(* eq-ufm-mean-row: where rows of G sum to zero, so does W. *)
Theorem mean_row_is_zero G W H b : lambda_W != 0 -> G *m ones = 0 -> critical G W H b -> ones^T *m W = 0.
Proof.
move=> lw0 G1 [GH _ _]; apply: (scalerI (a := - lambda_W)); first by rewrite oppr_eq0.
by rewrite scaler0 scalemxAr -GH mulmxA -trmx_mul G1 trmx0 mul0mx.
Qed.

Section Certificate.
Hypotheses (lw_ge0 : 0 <= lambda_W) (lh_ge0 : 0 <= lambda_H).

(* One column of W and of H: the arithmetic mean of the two budgets is at least the geometric one. *)
Lemma pairing_column Y (u : 'cV[R]_K) (v : 'cV[R]_N) : spectral_bound Y ->
  0 <= inner v (Y *m u) + lambda_W / 2%:R * normsq u + lambda_H / 2%:R * normsq v.
Proof.
move=> bound; set p := inner v (Y *m u).
pose s := lambda_W * normsq u + lambda_H * normsq v.
have s_ge0 : 0 <= s by rewrite addr_ge0 ?mulr_ge0 ?normsq_ge0.
have : (2%:R * p) ^+ 2 <= s ^+ 2.
  apply: le_trans (_ : 4%:R * (lambda_W * normsq u * (lambda_H * normsq v)) <= _).
    have -> : (2%:R * p) ^+ 2 = 4%:R * p ^+ 2 by ring.
    rewrite ler_pmul2l ?ltr0n //; apply: le_trans (bound u v) _; rewrite le_eqVlt; apply/orP; left; apply/eqP; ring.
  rewrite -subr_ge0; have -> : s ^+ 2 - 4%:R * (lambda_W * normsq u * (lambda_H * normsq v))
                             = (lambda_W * normsq u - lambda_H * normsq v) ^+ 2 by rewrite /s; ring.
  exact: sqr_ge0.
move=> /(sqr_lower s_ge0); rewrite -subr_ge0 opprK => pos.
have -> : p + lambda_W / 2%:R * normsq u + lambda_H / 2%:R * normsq v = 2%:R^-1 * (2%:R * p + s) by rewrite /s; field.
by rewrite mulr_ge0 // invr_ge0 ler0n.
Qed.

(* Column by column: the first bracket of eq-optimal-weak is not negative. *)
Lemma pairing Y W H : spectral_bound Y ->
  0 <= inner Y (H *m W^T) + lambda_W / 2%:R * normsq W + lambda_H / 2%:R * normsq H.
Proof.
move=> bound.
have columns m p (A B : 'M[R]_(m, p)) : inner A B = \sum_j inner (col j A) (col j B).
  rewrite /inner exchange_big; apply: eq_bigr => j _; apply: eq_bigr => i _.
  by rewrite big_ord1 !mxE.
have -> : inner Y (H *m W^T) = inner H (Y *m W) by rewrite innerC inner_mulr trmxK.
rewrite /normsq !(columns _ d) !mulr_sumr -!big_split; apply: sumr_ge0 => j _ /=.
have -> : col j (Y *m W) = Y *m col j W by rewrite !colE mulmxA.
exact: pairing_column.
Qed.

(* eq-optimal-dual, for any loss with the linear lower bound g(A) >= <Y, A> + c. *)
Theorem certificate Y (c : R) W H b :
  (forall A, inner Y A + c <= g A) -> spectral_bound Y -> 0 < lambda_b ->
  c - normsq (Y^T *m ones) / (2%:R * lambda_b) <= objective W H b.
Proof.
move=> below bound lb_gt0; have lb0 : lambda_b != 0 by rewrite gt_eqF.
have bias : inner Y (ones *m b^T) = inner (Y^T *m ones) b by rewrite inner_rank_one inner_mull trmxK.
rewrite -subr_ge0; apply: le_trans (_ : 0 <= inner Y (H *m W^T) + lambda_W / 2%:R * normsq W
  + lambda_H / 2%:R * normsq H + lambda_b / 2%:R * normsq (b + lambda_b^-1 *: (Y^T *m ones))) _.
  by rewrite addr_ge0 ?pairing // mulr_ge0 ?normsq_ge0 ?divr_ge0 ?ler0n ?(ltW lb_gt0).
rewrite -subr_ge0; apply: le_trans (_ : 0 <= g (logits W H b) - (inner Y (logits W H b) + c)) _.
  by rewrite subr_ge0.
rewrite le_eqVlt; apply/orP; left; apply/eqP.
rewrite /objective normsqD normsqZ innerZr /logits innerDr bias (innerC b).
by field.
Qed.

(* Without decay of the bias, Y'1 = 0 is needed, and no term is lost. *)
Theorem certificate_free_bias Y (c : R) W H b :
  (forall A, inner Y A + c <= g A) -> spectral_bound Y -> 0 <= lambda_b -> Y^T *m ones = 0 -> c <= objective W H b.
Proof.
move=> below bound lb_ge0 Y1.
have bias : inner Y (ones *m b^T) = 0 by rewrite inner_rank_one -[Y]trmxK -inner_mull Y1 inner0l.
have := below (logits W H b); rewrite /logits innerDr bias addr0 -/(logits W H b) => loss.
rewrite -subr_ge0; apply: le_trans (_ : 0 <= (g (logits W H b) - (inner Y (H *m W^T) + c))
  + (inner Y (H *m W^T) + lambda_W / 2%:R * normsq W + lambda_H / 2%:R * normsq H)
  + lambda_b / 2%:R * normsq b) _.
  apply: addr_ge0; first by apply: addr_ge0; rewrite ?subr_ge0 //; apply: pairing.
  by rewrite mulr_ge0 ?normsq_ge0 ?divr_ge0 ?ler0n.
by rewrite le_eqVlt /objective; apply/orP; left; apply/eqP; ring.
Qed.

(* A critical point with |G|_2 <= sqrt(lambda_W lambda_H) is a global minimum: any convex loss, any class sizes. *)
Theorem certified_is_global G W H b :
  (forall A, g (logits W H b) + inner G (A - logits W H b) <= g A) ->
  0 <= lambda_b -> critical G W H b -> spectral_bound G ->
  forall W' H' b', objective W H b <= objective W' H' b'.
Proof.
move=> tangent lb_ge0 crit bound W' H' b'.
have [same pair] := equal_budgets crit; have [_ _ Gb] := crit.
have bias v : inner G (ones *m v^T) = - (lambda_b * inner b v).
  by rewrite inner_rank_one -[G]trmxK -inner_mull Gb innerZl mulNr.
have loss := tangent (logits W' H' b').
have slack := pairing W' H' bound.
rewrite -subr_ge0; apply: le_trans (_ : 0 <=
    (g (logits W' H' b') - (g (logits W H b) + inner G (logits W' H' b' - logits W H b)))
  + (inner G (H' *m W'^T) + lambda_W / 2%:R * normsq W' + lambda_H / 2%:R * normsq H')
  + lambda_b / 2%:R * normsq (b' - b)) _.
  apply: addr_ge0; first by apply: addr_ge0; rewrite ?subr_ge0 //; apply: pairing.
  by rewrite mulr_ge0 ?normsq_ge0 ?divr_ge0 ?ler0n.
rewrite le_eqVlt; apply/orP; left; apply/eqP.
rewrite /objective /logits normsqB innerDr innerNr !innerDr !bias pair (innerC b' b) -!/(normsq _).
have -> : lambda_H / 2%:R * normsq H = lambda_W / 2%:R * normsq W.
  by rewrite mulrAC -same mulrAC.
by field.
Qed.
End Certificate.
End Model.
