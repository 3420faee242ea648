// SPDX-License-Identifier: Apache-2.0

extension Architecture {
    /// Qwen 2 and 2.5, dense (arXiv 2407.10671).
    static let qwen2 = Architecture(name: "qwen2", modelTypes: ["qwen2"], storesRotaryPairs: false, hasBiases: true)
}
