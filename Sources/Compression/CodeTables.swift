// SPDX-License-Identifier: Apache-2.0
import CCompression
import Glibc

/// The static distributions of the entropy coder: one for each class of columns, by the mean magnitude of their symbols.
public final class CodeTables: @unchecked Sendable {
    /// Frequencies [classes][symbols], each class adding up to 2048.
    public let frequencies: [UInt16]
    let base: UnsafeMutablePointer<dkv_tables>

    static let classes = Int(DKV_CLASSES)
    static let symbols = Int(DKV_SYMBOLS)
    static let total = 1 << Int(DKV_PROBABILITY_BITS)

    /// Tables of given frequencies, or nil if these are none.
    public init?(frequencies: [UInt16]) {
        guard frequencies.count == Self.classes * Self.symbols else { return nil }
        let base = UnsafeMutablePointer<dkv_tables>.allocate(capacity: 1)
        guard dkv_tables_fill(base, frequencies) else {
            base.deallocate()
            return nil
        }
        self.frequencies = frequencies
        self.base = base
    }

    deinit { base.deallocate() }

    /// Mean magnitudes of neighbouring classes differ by this factor.
    static let ratio = 1.2599210498948732
    private static let smallest = 0.003

    /// The mean magnitude that a class stands for.
    static func magnitude(ofClass index: Int) -> Double { smallest * pow(ratio, Double(index - 1)) }

    /// The class for columns of a mean magnitude. Columns that calibration never saw move have the least class, which costs
    /// them a few thousandths of a bit: other texts may move them.
    static func classOf(magnitude: Double) -> UInt8 {
        guard magnitude > smallest else { return 1 }
        let index = 1 + (log(magnitude / smallest) / log(ratio)).rounded()
        return UInt8(max(1, min(Double(classes - 1), index)))
    }

    /// Frequencies from counts [classes][symbols]. Where counts are few, a two-sided geometric distribution of the class's
    /// mean fills in with the weight of `prior` symbols.
    static func frequencies(counts: [Double], prior: Double = 200) -> [UInt16] {
        (0..<classes).flatMap { index in
            let shape = geometric(mean: magnitude(ofClass: max(1, index)))
            let row = counts[index * symbols..<(index + 1) * symbols]
            return normalized(zip(row, shape).map { $0 + prior * $1 })
        }
    }

    private static func geometric(mean: Double) -> [Double] {
        // P(|q| = m) ∝ r^m with half of it for each sign: E|q| = 2r / ((1 − r)(1 + r)).
        let r = (sqrt(1 + mean * mean) - 1) / mean
        var weights = (0..<symbols).map { pow(r, Double(($0 + 1) / 2)) }
        weights[Int(DKV_ESCAPE)] = 2 * pow(r, Double(DKV_HALF_ALPHABET + 1)) / (1 - r)
        let sum = weights.reduce(0, +)
        return weights.map { $0 / sum }
    }

    /// Whole frequencies that add up to the total, nearest to the weights. Symbols that would get less than one are left to
    /// the escape, so that columns which are nearly always zero cost nearly nothing.
    private static func normalized(_ weights: [Double]) -> [UInt16] {
        let escape = Int(DKV_ESCAPE), sum = weights.reduce(0, +)
        let shares = weights.map { $0 / sum * Double(total) }
        var result = shares.map { $0 < 0.75 ? 0 : max(1, Int($0.rounded())) }
        let rare = zip(shares, result).reduce(0) { $0 + ($1.1 == 0 ? $1.0 : 0) }
        result[escape] = max(1, Int((shares[escape] + rare).rounded()))
        result[0] = max(1, result[0])
        // What rounding left over goes to the likeliest symbol.
        let order = result.indices.sorted { (result[$0], $1) > (result[$1], $0) }
        result[order[0]] += total - result.reduce(0, +)
        return result.map(UInt16.init)
    }

    /// Tables that suit any source a little, for calibration's first passes.
    static func geometric() -> CodeTables {
        guard let tables = CodeTables(frequencies: frequencies(counts: Array(repeating: 0, count: classes * symbols)))
        else { preconditionFailure("geometric frequencies add up") }
        return tables
    }
}
