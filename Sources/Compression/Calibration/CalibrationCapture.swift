// SPDX-License-Identifier: Apache-2.0
import Inference
import Kernels

/// Keeps the keys and values of all layers while texts run through a model, and looks at the attention of their beginnings.
final class CalibrationCapture: LayerTap {
    /// Rows of a text's beginning whose attention is looked at.
    static let window = 1024
    /// [layer]: [tokens][columns]
    let rows: [ReservedMemory]
    let columns: Int
    let statistics: AttentionStatistics
    private(set) var observation: ObservationLayers
    /// Where the rows of the running step go.
    var position = 0
    /// Whether the running step is a text's beginning, to be looked at.
    var looksAtAttention = false
    private let configuration: ModelConfiguration
    private let sinks: Int

    init(model: LanguageModel, tokens: Int, sinks: Int, blas: OpenBLAS, pool: ThreadPool) throws(KernelError) {
        configuration = model.configuration
        self.sinks = sinks
        let columns = 2 * configuration.kvHeads * configuration.headDimension
        self.columns = columns
        var rows: [ReservedMemory] = []
        for _ in 0..<configuration.layers { rows.append(try ReservedMemory(count: 4 * tokens * columns)) }
        self.rows = rows
        statistics = AttentionStatistics(model: model, blas: blas, pool: pool, sinks: sinks)
        observation = ObservationLayers(layers: configuration.layers)
    }

    func projected(layer: Int, queryKeyValue: Matrix) {
        let queries = configuration.heads * configuration.headDimension
        for row in 0..<queryKeyValue.rows {
            let source = queryKeyValue.base + row * queryKeyValue.stride + queries
            rows[layer].floats(at: 4 * (position + row) * columns).update(from: source, count: columns)
        }
    }

    func attend(layer: Int, rotated: Matrix, to attended: Matrix) -> Bool {
        guard looksAtAttention else { return false }
        let n = rotated.rows, probes = stride(from: n / 2 + 15, to: n, by: 32).map { $0 }
        var strongest = Array(repeating: Array(repeating: Float(0), count: n), count: probes.count)
        statistics.add(layer: layer, rotated: rotated) { _, p in
            for (index, probe) in probes.enumerated() {
                for j in 0..<n { strongest[index][j] = max(strongest[index][j], p[probe * n + j]) }
            }
        }
        for (index, probe) in probes.enumerated() {
            let candidates = (sinks..<max(sinks, probe - 32))
            let order = candidates.sorted { (strongest[index][$0], $1) > (strongest[index][$1], $0) }
            observation.add(layer: layer, Array(order.prefix(candidates.count / 6)))
        }
        return false
    }
}
