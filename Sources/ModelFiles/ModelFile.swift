// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A model in either of the forms that it comes in.
public enum ModelFile: Sendable {
    /// A GGUF file, or the parts of a split one.
    case gguf(GGUFFile)
    /// A folder as Hugging Face's libraries store it.
    case folder(HuggingFaceFolder)

    /// Opens the folder, or the GGUF file, at a path and checks it.
    ///
    /// - Throws: ``GGUFError`` where it cannot be read or contradicts itself.
    public init(path: String) throws(GGUFError) {
        var isFolder: ObjCBool = false
        let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
        self =
            exists && isFolder.boolValue
            ? .folder(try HuggingFaceFolder(path: path)) : .gguf(try GGUFFile(path: path))
    }

    /// The path that it was opened by.
    public var path: String {
        switch self {
        case .gguf(let file): file.path
        case .folder(let folder): folder.path
        }
    }

    /// Bytes of the files that hold the weights.
    public var size: Int {
        switch self {
        case .gguf(let file): file.size
        case .folder(let folder): folder.size
        }
    }

    /// All tensors, under the names that the files give them.
    public var tensors: [GGUFTensor] {
        switch self {
        case .gguf(let file): file.tensors
        case .folder(let folder): folder.tensors
        }
    }

    /// A SHA-256 in lower-case hexadecimal that two models share only if all that decides their results is the same: of the
    /// file or its parts, or of a folder's configuration, tokenizer and weights. Reads them whole.
    public func digest() throws(GGUFError) -> String {
        switch self {
        case .gguf(let file): file.digest()
        case .folder(let folder): try folder.digest()
        }
    }
}
