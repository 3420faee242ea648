// SPDX-License-Identifier: Apache-2.0
import CCompression

/// The calibrated numbers of one layer's transform codec: what a compressor file holds of it.
///
/// A row `x = [keys before rotation | values]` is predicted from the rows of up to two layers before it, as decoded:
/// `p = prediction · ((sources − sourceMean) · sourceScale) + mean`, from those keys and values of theirs that tell enough. What
/// that leaves becomes coefficients `forward · ((x − p) · scale)`, in sixteenths of the quantisation step, and comes back as `inverse · coefficients + p`. All
/// matrices are kept in int8, which is what products are computed on.
public struct LayerParameters: Sendable, Equatable {
    /// How one kind of row is quantised and coded.
    public struct Mode: Sendable, Equatable {
        /// [coefficients]: class of a coefficient's distribution; 0: it is not coded.
        public var classes: [UInt8]
        /// [coefficients][2]: fine units added to the magnitude of decoded 1, and of 2 and more.
        public var shifts: [Int8]
        /// 7 ascending sums of magnitudes, which divide rows into 8 gains.
        public var thresholds: [UInt32]

        static func plain(coefficients: Int) -> Mode {
            Mode(
                classes: Array(repeating: 1, count: coefficients),
                shifts: Array(repeating: 0, count: 2 * coefficients),
                thresholds: Array(repeating: .max, count: 7))
        }
    }

    /// Elements of a row.
    public var columns: Int
    /// Coefficients of a row: the directions in which errors would cost most.
    public var coefficients: Int
    /// [columns]: mean of calibration rows.
    public var mean: [Float]
    /// [columns]: reciprocal of the deviation of what the prediction from other layers leaves.
    public var scale: [Float]
    /// [sources · columns]: means of the source layers' rows, the layer before first.
    public var sourceMean: [Float]
    /// [sources · columns]: reciprocals of their deviations.
    public var sourceScale: [Float]
    /// Halves of the sources that are predicted from, ascending: 0 and 1 are the keys and values of the layer before, 2 and 3 those
    /// of the one before that.
    public var inputs: [Int]
    /// [columns][inputs · columns / 2]; empty without inputs.
    public var prediction: EightBitMatrix
    /// [coefficients][columns]
    public var forward: EightBitMatrix
    /// [columns][coefficients]
    public var inverse: EightBitMatrix
    /// [prototypes][coefficients]
    public var prototypes: [Int8]
    /// For all rows that are no references.
    public var rows: Mode
    /// For references.
    public var references: Mode

    /// Layers before this one that its rows are predicted from.
    public var sources: Int { inputs.last.map { $0 / 2 + 1 } ?? 0 }

    /// Most layers that a row is predicted from.
    static let mostSources = Int(DKV_SOURCES)

    /// Whether all arrays have the lengths that the settings ask for.
    func fits(_ settings: CodecSettings) -> Bool {
        guard (32...16000).contains(columns), columns % 32 == 0, (32...columns).contains(coefficients),
            coefficients % 32 == 0, sources <= Self.mostSources, (inputs.first ?? 0) >= 0,
            zip(inputs, inputs.dropFirst()).allSatisfy({ $0 < $1 })
        else { return false }
        return mean.count == columns && scale.count == columns
            && sourceMean.count == sources * columns && sourceScale.count == sources * columns
            && prediction.rows == (inputs.isEmpty ? 0 : columns) && prediction.columns == inputs.count * columns / 2
            && forward.rows == coefficients && forward.columns == columns
            && inverse.rows == columns && inverse.columns == coefficients
            && [prediction, forward, inverse].allSatisfy(\.isValid)
            && prototypes.count == settings.prototypes * coefficients
            && [rows, references].allSatisfy {
                $0.classes.count == coefficients && $0.shifts.count == 2 * coefficients && $0.thresholds.count == 7
                    && $0.classes.allSatisfy { $0 < 48 }
            }
            && [mean, scale, sourceMean, sourceScale].allSatisfy { $0.allSatisfy(\.isFinite) }
    }
}
