// SPDX-License-Identifier: Apache-2.0
@testable import Kernels

/// A small seeded generator, so that failures repeat.
struct Random: RandomNumberGenerator {
    var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }

    mutating func floats(_ count: Int, _ range: ClosedRange<Float> = -1...1) -> [Float] {
        (0..<count).map { _ in Float.random(in: range, using: &self) }
    }
}

/// Rows in memory of their own, with canaries in the gaps and behind the end. The memory is never freed, since views do not
/// keep it alive.
struct Rows {
    static let canary: Float = 12345
    let matrix: Matrix
    private let count: Int

    init(_ rows: Int, _ columns: Int, gap: Int = 3, values: [Float]? = nil) {
        let stride = columns + gap
        count = rows * stride + 16
        let base = UnsafeMutablePointer<Float>.allocate(capacity: count)
        base.initialize(repeating: Self.canary, count: count)
        matrix = Matrix(base, rows: rows, columns: columns, stride: stride)
        if let values { for r in 0..<rows { for c in 0..<columns { base[r * stride + c] = values[r * columns + c] } } }
    }

    var values: [Float] { (0..<matrix.rows).flatMap { Array(matrix[row: $0]) } }

    /// Whether nothing was written outside the rows.
    var isIntact: Bool {
        (0..<count).allSatisfy {
            ($0 < matrix.rows * matrix.stride && $0 % matrix.stride < matrix.columns) || matrix.base[$0] == Self.canary
        }
    }
}

/// The largest `|a - b| / (1 + |b|)`; infinite if counts differ or a value is not a number.
func largestError(_ a: [Float], _ b: [Double]) -> Double {
    guard a.count == b.count else { return .infinity }
    return zip(a, b).reduce(0) { worst, pair in
        let error = abs(Double(pair.0) - pair.1) / (1 + abs(pair.1))
        return error.isNaN ? .infinity : max(worst, error)
    }
}

extension [Float] {
    /// For comparisons to the bit.
    var bits: [UInt32] { map(\.bitPattern) }
}

func compute(_ set: InstructionSet, threads: Int = 2) throws -> Compute {
    Compute(pool: try ThreadPool(threads: threads), instructionSet: set)
}
