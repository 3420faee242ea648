// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A model as Hugging Face's libraries store it: a folder with `config.json`, weights in safetensors (one file, or several
/// and an index), and, where the model has them, `tokenizer.json`, a chat template and `generation_config.json`.
///
/// All files are untrusted; errors name the file that they are in. Weights stay in the mapped files.
public struct HuggingFaceFolder: Sendable {
    /// The folder.
    public let path: String
    /// The shape of the model, `config.json`.
    public let configuration: JSONValue
    /// All tensors under the names of the files. Shapes are in GGML's order: the length of a contiguous row comes first.
    public let tensors: [GGUFTensor]

    private let weights: [MappedFile]

    /// Opens the folder and checks its weights' files.
    ///
    /// - Throws: ``GGUFError`` where a needed file is missing or one contradicts itself.
    public init(path: String) throws(GGUFError) {
        self.path = path
        configuration = try Self.json(path, "config.json")
        var tensors: [GGUFTensor] = []
        var weights: [MappedFile] = []
        for name in try Self.weightFiles(path) {
            let part = try SafetensorsFile(path: path + "/" + name)
            tensors += part.tensors
            weights.append(part.file)
        }
        var seen: Set<String> = []
        for tensor in tensors where !seen.insert(tensor.name).inserted {
            throw GGUFError(path: path, reason: .malformed("the tensor “\(tensor.name)” appears twice"))
        }
        self.tensors = tensors
        self.weights = weights
    }

    /// Bytes of the files that hold the weights.
    public var size: Int { weights.reduce(0) { $0 + $1.bytes.count } }

    /// The SHA-256 of `config.json`, `tokenizer.json` where there is one, and the weights' files in order of their names, in
    /// lower-case hexadecimal. Reads them whole.
    public func digest() throws(GGUFError) -> String {
        var files = [try MappedFile(path: path + "/config.json")]
        if Self.exists(path, "tokenizer.json") { files.append(try MappedFile(path: path + "/tokenizer.json")) }
        return FileDigest.sha256(files + weights)
    }

    /// `tokenizer.json`.
    public func tokenizer() throws(GGUFError) -> JSONValue { try Self.json(path, "tokenizer.json") }

    /// What the model's makers advise for sampling, `generation_config.json`; nil where there is none.
    public func generation() throws(GGUFError) -> JSONValue? {
        try Self.exists(path, "generation_config.json") ? Self.json(path, "generation_config.json") : nil
    }

    /// The chat template in Jinja: `chat_template.jinja`, or the one in `tokenizer_config.json` (of several, that called
    /// `default`); nil where there is none.
    public func chatTemplate() throws(GGUFError) -> String? {
        if let text = try text("chat_template.jinja") { return text }
        if let template = try configuredTemplates()?.text { return template }
        return try chatTemplate(named: "default")
    }

    /// The chat template of a name such as `tool_use`, in a file of its own or beside others; nil where there is none.
    public func chatTemplate(named name: String) throws(GGUFError) -> String? {
        if let text = try text("additional_chat_templates/\(name).jinja") { return text }
        return try configuredTemplates()?.elements?.first { $0["name"]?.text == name }?["template"]?.text
    }

    private func configuredTemplates() throws(GGUFError) -> JSONValue? {
        guard Self.exists(path, "tokenizer_config.json") else { return nil }
        return try Self.json(path, "tokenizer_config.json")["chat_template"]
    }

    /// The text of a file, nil where there is no such file.
    private func text(_ name: String) throws(GGUFError) -> String? {
        guard Self.exists(path, name) else { return nil }
        let file = try MappedFile(path: path + "/" + name)
        guard let text = file.text(in: 0..<file.bytes.count) else {
            throw GGUFError(path: file.path, reason: .malformed("the template is not UTF-8"))
        }
        return text
    }

    /// The names of the files that hold the weights, without repetition.
    private static func weightFiles(_ path: String) throws(GGUFError) -> [String] {
        let index = "model.safetensors.index.json"
        guard exists(path, index) else { return ["model.safetensors"] }
        guard let map = try json(path, index)["weight_map"]?.members else {
            throw GGUFError(path: path + "/" + index, reason: .malformed("there is no object “weight_map”"))
        }
        var names: Set<String> = []
        for member in map {
            guard let name = member.value.text, name.hasSuffix(".safetensors"), !name.contains("/"),
                !name.contains("\0")
            else {
                throw GGUFError(
                    path: path + "/" + index,
                    reason: .malformed(
                        "the tensor “\(member.key)” is not said to be in a safetensors file of the folder"))
            }
            names.insert(name)
        }
        return names.sorted()
    }

    static func exists(_ folder: String, _ name: String) -> Bool {
        FileManager.default.fileExists(atPath: folder + "/" + name)
    }

    static func json(_ folder: String, _ name: String) throws(GGUFError) -> JSONValue {
        let file = try MappedFile(path: folder + "/" + name)
        return try file.json(0..<file.bytes.count)
    }
}
