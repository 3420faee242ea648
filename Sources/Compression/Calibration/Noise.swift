// SPDX-License-Identifier: Apache-2.0

/// Noise for rows, the same every time: each column's own variance; none for the first rows, which are kept exactly.
struct Noise {
    /// [rows][columns]
    let values: [Float]
    private let columns: Int

    init(of rows: UnsafeBufferPointer<Float>, columns: Int, sinks: Int, seed: UInt64) {
        self.columns = columns
        guard let base = rows.baseAddress else {
            values = []
            return
        }
        let scale = Moments(base, count: rows.count / columns, columns: columns).deviation.map(Float.init)
        var state = seed &* 0x9e37_79b9_7f4a_7c15 &+ 0x2545_f491_4f6c_dd1d
        values = rows.indices.map { index in
            // Four uniform numbers add up to nearly a normal one; their variance is a third each.
            var sum: Float = 0
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            for part in 0..<4 { sum += Float(Int16(truncatingIfNeeded: state >> (UInt64(part) * 16))) / 32768 }
            return index < sinks * columns ? 0 : sum * (3 / 4 as Float).squareRoot() * scale[index % columns]
        }
    }

    /// The mean of what a row's noise costs in a metric, [columns][columns].
    func cost(_ metric: [Double]) -> Double {
        let rows = values.count / columns
        var sum = 0.0
        for row in stride(from: 0, to: rows, by: 8) {
            values.withUnsafeBufferPointer { values in
                metric.withUnsafeBufferPointer { metric in
                    for i in 0..<columns {
                        var inner = 0.0
                        for j in 0..<columns { inner += metric[i * columns + j] * Double(values[row * columns + j]) }
                        sum += inner * Double(values[row * columns + i])
                    }
                }
            }
        }
        return max(sum / Double((rows + 7) / 8), 1e-300)
    }
}
