// SPDX-License-Identifier: Apache-2.0

/// A gated feed-forward layer: `down(silu(gate(x)) · up(x))` (Shazeer, GLU Variants Improve Transformer, SwiGLU).
public struct FeedForward: Sendable {
    /// Outputs are `[gate | up]`, half each.
    public let gateUp: LinearWeight
    /// Back to the hidden state.
    public let down: LinearWeight

    /// A layer. `gateUp` has twice the outputs that `down` has inputs.
    public init(gateUp: LinearWeight, down: LinearWeight) {
        precondition(gateUp.outputs == 2 * down.inputs, "shapes do not fit")
        self.gateUp = gateUp
        self.down = down
    }

    /// `x += layer(norm(x))`, where norm is ``Compute/normalize(_:weight:epsilon:to:)``. Whether the steps are fused depends on
    /// the weights alone and changes no bit.
    public func apply(
        addingTo x: Matrix, weight: UnsafePointer<Float>, epsilon: Float, with compute: Compute, scratch: LinearScratch
    ) {
        if case .quantized(let gateUp) = gateUp, case .quantized(let down) = down, gateUp.canGate {
            scratch.quantized.quantize(normalized: x, weight: weight, epsilon: epsilon, with: compute)
            gateUp.multiplyGated(scratch.quantized, into: scratch.gated, with: compute)
            down.multiply(scratch.gated, into: x, adding: true, with: compute)
            return
        }
        let hidden = scratch.gateUp.first(x.rows), activated = scratch.activated.first(x.rows)
        gateUp.apply(normalized: x, weight: weight, epsilon: epsilon, to: hidden, with: compute, scratch: scratch)
        compute.swiglu(hidden, to: activated)
        down.apply(activated, to: x, adding: true, with: compute, scratch: scratch)
    }
}
