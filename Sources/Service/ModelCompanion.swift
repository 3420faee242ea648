// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A file that is made once for a model: it lies beside the model's own or, where that folder cannot be written, in another
/// under the digest of the weights.
struct ModelCompanion {
    /// Where it may lie, in the order of looking.
    let read: [String]
    /// Where it is written.
    let write: String

    /// - Parameters:
    ///   - beside: Its path beside the model.
    ///   - digest: Of the model's file, in hexadecimal.
    ///   - fallbackDirectory: Made if it is needed.
    init(beside: String, digest: String, fallbackDirectory: String) {
        let folder = (beside as NSString).deletingLastPathComponent
        let other = "\(fallbackDirectory)/\(digest.prefix(16)).\((beside as NSString).pathExtension)"
        let isWritable = FileManager.default.isWritableFile(atPath: folder.isEmpty ? "." : folder)
        if !isWritable {
            // Where this fails, writing the file says why.
            try? FileManager.default.createDirectory(atPath: fallbackDirectory, withIntermediateDirectories: true)
        }
        read = [beside, other]
        write = isWritable ? beside : other
    }
}
