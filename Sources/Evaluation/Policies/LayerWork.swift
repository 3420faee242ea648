// SPDX-License-Identifier: Apache-2.0
import Kernels
import Synchronization

/// Work on all layers of a history, side by side, each on one thread.
enum LayerWork {
    /// The results of all layers, in order.
    ///
    /// - Throws: The error of the first layer that has one.
    static func map<Value: Sendable>(
        layers: Int, on threads: ThreadPool, _ body: @Sendable (_ layer: Int, Compute) throws -> Value
    ) throws -> [Value] {
        let results = Mutex<[Result<Value, any Error>?]>(Array(repeating: nil, count: layers))
        threads.run(count: layers) { layer in
            let result = Result { try body(layer, Compute(pool: ThreadPool(threads: 1))) }
            results.withLock { $0[layer] = result }
        }
        return try results.withLock { $0 }.map { result in
            guard let result else { preconditionFailure("every layer was worked on") }
            return try result.get()
        }
    }
}
