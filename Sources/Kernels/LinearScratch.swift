// SPDX-License-Identifier: Apache-2.0

/// Room for what the layers of a transformer compute on the way from their input to their output, used by one layer after
/// another. Memory is taken once and touched only as far as it is used.
public struct LinearScratch {
    /// A product's input in int8.
    let quantized: QuantizedActivations
    /// The gated hidden state of a feed-forward layer in int8.
    let gated: QuantizedActivations
    /// A normalised input, [rows][hidden].
    let normalized: Matrix
    /// [rows][gate | up].
    let gateUp: Matrix
    /// [rows][feedForward].
    let activated: Matrix
    private let memory: ReservedMemory

    /// Room for `rows` rows.
    ///
    /// - Parameters:
    ///   - hidden: Elements of what is normalised.
    ///   - feedForward: Elements of a feed-forward layer's hidden state.
    ///   - widest: Most inputs of any layer.
    /// - Throws: ``KernelError/outOfMemory(bytes:code:)``.
    public init(rows: Int, hidden: Int, feedForward: Int, widest: Int) throws(KernelError) {
        quantized = try Self.activations(rows: rows, columns: max(widest, hidden))
        gated = try Self.activations(rows: rows, columns: feedForward)
        let layout = MatrixLayout([(rows, hidden), (rows, 2 * feedForward), (rows, feedForward)])
        memory = try ReservedMemory(count: layout.byteCount, hugePages: true)
        let views = layout.matrices(in: memory.base)
        (normalized, gateUp, activated) = (views[0], views[1], views[2])
    }

    private static func activations(rows: Int, columns: Int) throws(KernelError) -> QuantizedActivations {
        let block = QuantizedType.blockLength
        do {
            return try QuantizedActivations(maxRows: rows, maxColumns: (columns + block - 1) / block * block)
        } catch .kernel(let error) {
            throw error
        } catch {
            throw .outOfMemory(bytes: Int.max, code: 12)
        }
    }
}
