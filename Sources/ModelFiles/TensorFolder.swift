// SPDX-License-Identifier: Apache-2.0
import Foundation

/// Tensors beside a model, as training scripts leave them: a folder with safetensors files of any names and, usually, a
/// `config.json`; or a single safetensors file. Untrusted like all files.
public struct TensorFolder: Sendable {
    /// The folder or file.
    public let path: String
    /// `config.json`; nil where there is none.
    public let configuration: JSONValue?
    /// All tensors, shapes in GGML's order: the length of a contiguous row comes first.
    public let tensors: [GGUFTensor]
    /// The files that hold them.
    public let files: [String]

    /// Opens and checks all files.
    ///
    /// - Throws: ``GGUFError`` where a file is missing or contradicts itself, or two hold tensors of one name.
    public init(path: String) throws(GGUFError) {
        self.path = path
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw GGUFError(path: path, reason: .unreadable("there is no such file or folder"))
        }
        guard isFolder.boolValue else {
            files = [path]
            configuration = nil
            tensors = try SafetensorsFile(path: path).tensors
            return
        }
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
        files = names.filter { $0.hasSuffix(".safetensors") }.map { path + "/" + $0 }
        guard !files.isEmpty else {
            let pickled = names.contains { $0.hasSuffix(".bin") || $0.hasSuffix(".pt") }
            throw GGUFError(
                path: path,
                reason: .unreadable(
                    pickled ? "its tensors are pickled; convert them to safetensors" : "it holds no safetensors file"))
        }
        var tensors: [GGUFTensor] = [], seen: Set<String> = []
        for file in files {
            for tensor in try SafetensorsFile(path: file).tensors {
                guard seen.insert(tensor.name).inserted else {
                    throw GGUFError(path: file, reason: .malformed("the tensor “\(tensor.name)” appears twice"))
                }
                tensors.append(tensor)
            }
        }
        self.tensors = tensors
        guard names.contains("config.json") else {
            configuration = nil
            return
        }
        let config = try MappedFile(path: path + "/config.json")
        configuration = try config.json(0..<config.bytes.count)
    }
}
