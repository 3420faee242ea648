// SPDX-License-Identifier: Apache-2.0

extension Architecture {
    /// Qwen 3, dense (arXiv 2505.09388).
    static let qwen3 = Architecture(
        name: "qwen3", modelTypes: ["qwen3"], storesRotaryPairs: false, normalizesHeads: true)
}
