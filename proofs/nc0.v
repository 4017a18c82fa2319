(* The mean row of the classifier decays by itself (NC0): chapter 15; prop-ufm-balance, eq-ufm-mean-row.

   Whatever the residual G (one row of logit derivatives a sample), as long as each of its rows sums to zero, which
   softmax minus one-hot label does, gradient descent with step eta and coupled decay lambda,
   W <- W - eta (G'H + lambda W), has  1'W_t = (1 - eta lambda)^t 1'W_0  exactly.  Features may move as they please,
   batches may change from step to step.  Over any commutative ring. *)
From mathcomp Require Import all_ssreflect all_algebra ring.
From collapse Require Import algebra.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import GRing.Theory.
Local Open Scope ring_scope.

Section NC0.
Variables (R : comRingType) (K d : nat) (eta lambda : R).
Variable batch : nat -> nat.  (* how many samples step t sees *)
Variables (G : forall t, 'M[R]_(batch t, K)) (H : forall t, 'M[R]_(batch t, d)) (W : nat -> 'M[R]_(K, d)).

Theorem mean_row_decays :
  (forall t, G t *m ones = 0) ->
  (forall t, W t.+1 = W t - eta *: ((G t)^T *m H t + lambda *: W t)) ->
  forall t, ones^T *m W t = (1 - eta * lambda) ^+ t *: (ones^T *m W 0%N).
Proof.
move=> no_sum step; elim=> [|t IH]; first by rewrite expr0 scale1r.
have lost : ones^T *m (G t)^T = 0 by rewrite -trmx_mul no_sum trmx0.
rewrite step mulmxBr -scalemxAr mulmxDr mulmxA lost mul0mx add0r -scalemxAr scalerA.
rewrite IH !scalerA exprS -scalerBl; congr (_ *: _); ring.
Qed.
End NC0.
