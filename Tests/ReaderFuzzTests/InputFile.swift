// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A file without a name, in memory where there is a place for it, and a folder in which names lead to it, so that a million inputs touch no disk.
final class InputFile {
    /// Where readers find the input.
    let path: String
    /// A folder of a model; see ``init(names:fixed:)``.
    let folder: URL
    private let descriptor: Int32

    /// - Parameters:
    ///   - names: Names in the folder that lead to the input.
    ///   - fixed: Other files of the folder.
    init(names: [String], fixed: [String: Data]) throws {
        let memory = FileManager.default.isWritableFile(atPath: "/dev/shm") ? "/dev/shm" : NSTemporaryDirectory()
        var name = Array("\(memory)/deltakv-fuzz-XXXXXX".utf8CString)
        descriptor = mkstemp(&name)
        guard descriptor >= 0 else { throw CocoaError(.fileWriteUnknown) }
        // It lives on without a name until it is closed.
        unlink(name)
        path = "/proc/self/fd/\(descriptor)"
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("deltakv-fuzz-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for name in names {
            let place = folder.appendingPathComponent(name).path
            try FileManager.default.createSymbolicLink(atPath: place, withDestinationPath: path)
        }
        for (name, data) in fixed { try data.write(to: folder.appendingPathComponent(name)) }
    }

    deinit {
        close(descriptor)
        try? FileManager.default.removeItem(at: folder)
    }

    /// Puts an input in the place of the last. Nothing may have the last one open.
    func write(_ bytes: [UInt8]) {
        guard ftruncate(descriptor, 0) == 0, pwrite(descriptor, bytes, bytes.count, 0) == bytes.count else {
            fatalError("the file in memory cannot be written")
        }
    }
}
