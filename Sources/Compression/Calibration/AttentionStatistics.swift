// SPDX-License-Identifier: Apache-2.0
import CCompression
import Inference
import Kernels

/// What errors in keys and values cost: sums over the attention of a short text, head by head.
///
/// An error e of a key moves its score by q · e / √d, which moves the head's output towards or away from the value by the
/// probability; an error of a value passes by the probability and the output projection. Both squared, summed over all
/// queries of the text, give a quadratic form on rows `[keys | values]`: the metric that the codec works in.
final class AttentionStatistics {
    /// One layer's metric, [columns][columns], not normalised.
    private(set) var metrics: [[Double]]
    private let configuration: ModelConfiguration
    private let blas: OpenBLAS
    private let pool: ThreadPool
    private let sinks: Int
    /// [layer][head]: W_Oᵀ W_O of the head's columns, [d][d].
    private let outputs: [[[Float]]]

    init(model: LanguageModel, blas: OpenBLAS, pool: ThreadPool, sinks: Int) {
        configuration = model.configuration
        self.blas = blas
        self.pool = pool
        self.sinks = sinks
        let columns = 2 * configuration.kvHeads * configuration.headDimension
        metrics = Array(repeating: Array(repeating: 0, count: columns * columns), count: configuration.layers)
        outputs = (0..<configuration.layers).map { Self.outputForms(model, layer: $0, blas) }
    }

    private static func outputForms(_ model: LanguageModel, layer: Int, _ blas: OpenBLAS) -> [[Float]] {
        let c = model.configuration, d = c.headDimension, weight = model.attentionOutput(layer: layer)
        return (0..<c.heads).map { head in
            var part = Array(repeating: Float(0), count: c.hidden * d), form = Array(repeating: Float(0), count: d * d)
            for row in 0..<c.hidden {
                for i in 0..<d { part[row * d + i] = weight[row * c.heads * d + head * d + i] }
            }
            blas.multiply(part, transposed: true, part, into: &form, m: d, n: d, k: c.hidden)
            return form
        }
    }

    /// Adds a text's first rows, `[queries | keys | values]` with queries and keys rotated. Hands over the attention
    /// probabilities of each head, [rows][rows].
    func add(layer: Int, rotated: Matrix, probabilities: (_ head: Int, UnsafePointer<Float>) -> Void) {
        let c = configuration
        var results: [HeadSums?] = Array(repeating: nil, count: c.heads)
        results.withUnsafeMutableBufferPointer { results in
            nonisolated(unsafe) let results = results
            nonisolated(unsafe) let rotated = rotated
            nonisolated(unsafe) let statistics = self
            pool.run(count: c.heads) { results[$0] = statistics.sums(layer: layer, head: $0, rotated) }
        }
        for (head, result) in results.enumerated() {
            guard let result else { continue }
            add(result, layer: layer, head: head)
            result.probabilities.withUnsafeBufferPointer { if let base = $0.baseAddress { probabilities(head, base) } }
        }
    }

    private struct HeadSums {
        let probabilities: [Float]
        let mass, spread: Double
        /// Second moment of the queries by element, averaged over the pair that rotates together, over d.
        let queries: [Double]
    }

    private func sums(layer: Int, head: Int, _ rotated: Matrix) -> HeadSums {
        let c = configuration, d = c.headDimension, n = rotated.rows, kvHead = head / (c.heads / c.kvHeads)
        let q = columns(rotated, head * d, d), k = columns(rotated, (c.heads + kvHead) * d, d)
        let v = columns(rotated, (c.heads + c.kvHeads + kvHead) * d, d)
        let form = outputs[layer][head]
        var p = transposedProduct(q, k, n, n, d)
        p.withUnsafeMutableBufferPointer { dkv_causal_softmax($0.baseAddress, n, 1 / Float(d).squareRoot()) }
        let o = product(p, v, n, d, n), weightedV = product(v, form, n, d, d), weightedO = product(o, form, n, d, d)
        let crossed = transposedProduct(o, weightedV, n, n, d)
        var mass = 0.0, spread = 0.0
        dkv_attention_sums(
            p, rowDots(v, weightedV, n, d), rowDots(o, weightedO, n, d), crossed, n, sinks, &mass, &spread)
        var moments = Array(repeating: 0.0, count: d)
        for row in 0..<n { for i in 0..<d { moments[i] += Double(q[row * d + i]) * Double(q[row * d + i]) } }
        let half = d / 2
        let paired = (0..<d).map { (moments[$0 % half] + moments[$0 % half + half]) / Double(2 * n * d) }
        return HeadSums(probabilities: p, mass: mass, spread: spread, queries: paired)
    }

    private func add(_ sums: HeadSums, layer: Int, head: Int) {
        let c = configuration, d = c.headDimension, half = c.kvHeads * d, columns = 2 * half
        let at = head / (c.heads / c.kvHeads) * d
        for i in 0..<d {
            metrics[layer][(at + i) * columns + at + i] += sums.queries[i] * sums.spread
            for j in 0..<d {
                metrics[layer][(half + at + i) * columns + half + at + j] +=
                    Double(outputs[layer][head][i * d + j]) * sums.mass
            }
        }
    }

    // MARK: Small products

    private func columns(_ rows: Matrix, _ first: Int, _ count: Int) -> [Float] {
        (0..<rows.rows).flatMap { UnsafeBufferPointer(start: rows.base + $0 * rows.stride + first, count: count) }
    }

    private func product(_ a: [Float], _ b: [Float], _ m: Int, _ n: Int, _ k: Int) -> [Float] {
        Array(unsafeUninitializedCapacity: m * n) { buffer, count in
            if let base = buffer.baseAddress { blas.multiply(a, b, into: base, m: m, n: n, k: k) }
            count = m * n
        }
    }

    private func transposedProduct(_ a: [Float], _ b: [Float], _ m: Int, _ n: Int, _ k: Int) -> [Float] {
        Array(unsafeUninitializedCapacity: m * n) { buffer, count in
            a.withUnsafeBufferPointer { a in
                b.withUnsafeBufferPointer { blas.multiplyTransposed(a, $0, into: buffer, m: m, n: n, k: k) }
            }
            count = m * n
        }
    }

    private func rowDots(_ a: [Float], _ b: [Float], _ n: Int, _ d: Int) -> [Float] {
        (0..<n).map { row in (0..<d).reduce(0) { $0 + a[row * d + $1] * b[row * d + $1] } }
    }
}
