// SPDX-License-Identifier: Apache-2.0

/// The calibrated numbers of one layer's transform codec: what a compressor file holds of it.
///
/// A row `x = [keys before rotation | values]` becomes coefficients `forward · ((x − mean) · scale)`, in sixteenths of the
/// quantisation step, and comes back as `inverse · coefficients + mean`. Both matrices are kept as int8 in blocks of 32 with
/// a half-precision scale (GGUF's Q8_0), which is what products are computed on.
public struct LayerParameters: Sendable, Equatable {
    /// How one kind of row is quantised and coded.
    public struct Mode: Sendable, Equatable {
        /// [columns]: class of a column's distribution; 0: the column is not coded.
        public var classes: [UInt8]
        /// [columns][2]: fine units added to the magnitude of decoded 1, and of 2 and more.
        public var shifts: [Int8]
        /// 7 ascending sums of magnitudes, which divide rows into 8 gains.
        public var thresholds: [UInt32]

        static func plain(columns: Int) -> Mode {
            Mode(
                classes: Array(repeating: 1, count: columns), shifts: Array(repeating: 0, count: 2 * columns),
                thresholds: Array(repeating: .max, count: 7))
        }
    }

    /// Elements of a row.
    public var columns: Int
    /// [columns]: mean of calibration rows.
    public var mean: [Float]
    /// [columns]: reciprocal of their deviation.
    public var scale: [Float]
    /// [columns][columns / 32] blocks of 34 bytes.
    public var forward: [UInt8]
    /// The same shape.
    public var inverse: [UInt8]
    /// [prototypes][columns]
    public var prototypes: [Int8]
    /// For all rows that are no references.
    public var rows: Mode
    /// For references.
    public var references: Mode

    /// Whether all arrays have the lengths that the settings ask for.
    func fits(_ settings: CodecSettings) -> Bool {
        let matrix = columns * (columns / 32) * 34
        return (32...16000).contains(columns) && columns % 32 == 0 && mean.count == columns && scale.count == columns
            && forward.count == matrix && inverse.count == matrix
            && prototypes.count == settings.prototypes * columns
            && [rows, references].allSatisfy {
                $0.classes.count == columns && $0.shifts.count == 2 * columns && $0.thresholds.count == 7
                    && $0.classes.allSatisfy { $0 < 48 }
            }
            && mean.allSatisfy(\.isFinite) && scale.allSatisfy(\.isFinite)
    }
}
