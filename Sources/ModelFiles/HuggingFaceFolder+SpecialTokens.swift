// SPDX-License-Identifier: Apache-2.0

extension HuggingFaceFolder {
    /// The texts of the special tokens by their names in `tokenizer_config.json`, such as `bos_token`; empty where there
    /// is no such file. This is what transformers passes to chat templates.
    public func specialTokens() throws(GGUFError) -> [String: String] {
        guard Self.exists(path, "tokenizer_config.json") else { return [:] }
        let configuration = try Self.json(path, "tokenizer_config.json")
        var tokens: [String: String] = [:]
        for kind in ["bos", "eos", "unk", "sep", "pad", "cls", "mask"] {
            let name = "\(kind)_token", value = configuration[name]
            tokens[name] = value?.text ?? value?["content"]?.text
        }
        return tokens
    }
}
