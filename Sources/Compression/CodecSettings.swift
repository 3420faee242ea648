// SPDX-License-Identifier: Apache-2.0

/// What a user may choose about the transform codec. A compressor file carries its settings; they change every code.
public struct CodecSettings: Sendable, Equatable {
    /// First rows of a sequence, which are kept in half precision as well (attention leans on them) and are references.
    public var sinks: Int
    /// Every so many rows after the sinks one is a reference (absolute positions).
    public var stride: Int
    /// Candidates that belong to a layer instead of a sequence: typical rows, found by calibration. A multiple of 16.
    public var prototypes: Int
    /// Coarseness: the quantisation step of all layers in units of the one whose rounding errors would cost a hundredth of a
    /// nat of divergence a token, were they everywhere as large as the step allows. Larger is smaller and coarser.
    public var step: Float
    /// Added to a magnitude, in sixteenths of a step, before it is cut to whole steps; below 8 favours zeros.
    public var rounding: Int

    /// Settings; the defaults are what measured best.
    public init(sinks: Int = 8, stride: Int = 10, prototypes: Int = 256, step: Float = 1.5, rounding: Int = 6) {
        self.sinks = sinks
        self.stride = stride
        self.prototypes = prototypes
        self.step = step
        self.rounding = rounding
    }

    /// The step in the metric of calibration, where an error's square is what it costs.
    func stepSize(layers: Int, columns: Int) -> Double {
        // Rounding to whole steps errs by a twelfth of the step's square.
        Double(step) * (12 * 0.01 / Double(layers * columns)).squareRoot()
    }

    /// Whether every value is within the codec's bounds.
    var isValid: Bool {
        (0...1024).contains(sinks) && (1...65536).contains(stride) && prototypes % 16 == 0
            && (16...4096).contains(prototypes) && step.isFinite && (0.01...100).contains(step)
            && (0...8).contains(rounding)
    }
}
