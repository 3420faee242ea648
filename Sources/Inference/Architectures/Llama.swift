// SPDX-License-Identifier: Apache-2.0

extension Architecture {
    /// Llama 2 and 3, SmolLM2, Mistral (Touvron et al., arXiv 2307.09288).
    static let llama = Architecture(name: "llama", modelTypes: ["llama", "mistral"], storesRotaryPairs: true)
}
