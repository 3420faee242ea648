// SPDX-License-Identifier: Apache-2.0
import Kernels

/// What entered each layer in a step, so that the step can be taken again from a layer on once something there has changed.
public final class ResidualTrail {
    private let layers: [Matrix]
    private let memory: ReservedMemory

    /// Room for a step of `rows` tokens.
    ///
    /// - Throws: ``KernelError/outOfMemory(bytes:code:)``.
    public init(_ configuration: ModelConfiguration, rows: Int) throws(KernelError) {
        let size = rows * configuration.hidden
        let memory = try ReservedMemory(count: 4 * configuration.layers * size)
        self.memory = memory
        layers = (0..<configuration.layers).map {
            Matrix(memory.floats(at: 4 * $0 * size), rows: rows, columns: configuration.hidden)
        }
    }

    /// Notes what enters a layer, [rows][hidden].
    func keep(layer: Int, _ residual: Matrix) { copy(residual, to: layers[layer]) }

    /// Puts what entered a layer where the layer looks for it.
    func take(layer: Int, to residual: Matrix) { copy(layers[layer], to: residual) }

    private func copy(_ from: Matrix, to: Matrix) {
        precondition(from.rows == to.rows, "the trail is of another step")
        for row in 0..<from.rows { _ = to[row: row].update(fromContentsOf: from[row: row]) }
    }
}
