// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import ModelFiles

/// The two files of an export and the note of how far they are good.
struct ExportFiles {
    private struct Note: Codable {
        var batchID: Int64
        /// When the batch's last job ended: jobs that are run again change what is in the files.
        var ended: Date?
        var position: Int64
        var outputBytes: UInt64
        var errorBytes: UInt64
    }

    private let output: FileHandle
    private let errors: FileHandle
    private let outputPath: String
    private let errorPath: String
    private let notePath: String
    private let keepsNote: Bool
    private var note: Note
    private var outputLines = Data()
    private var errorLines = Data()

    /// The last job that is in one of the files.
    var position: Int64 { note.position }

    /// Opens the files: to go on where the note of an earlier export of the same batch in the same state says, else empty.
    ///
    /// - Parameter resumes: Whether a later export may go on with this one, and this one with an earlier one.
    init(output: String, errors: String, batchID: Int64, ended: Date?, resumes: Bool) throws {
        guard output != errors else {
            throw BatchFileError.unwritable(path: errors, reason: "it is the output file too")
        }
        (outputPath, errorPath) = (output, errors)
        notePath = output + ".progress"
        keepsNote = resumes
        let earlier = try? Data(contentsOf: URL(fileURLWithPath: notePath))
        if !resumes, earlier != nil { try FileManager.default.removeItem(atPath: notePath) }
        let read = earlier.flatMap { try? JSONDecoder().decode(Note.self, from: $0) }
        note = Note(batchID: batchID, ended: ended, position: 0, outputBytes: 0, errorBytes: 0)
        self.output = try Self.open(output)
        self.errors = try Self.open(errors)
        if resumes, let read, read.batchID == batchID, read.ended == ended,
            try self.output.seekToEnd() >= read.outputBytes,
            try self.errors.seekToEnd() >= read.errorBytes
        {
            note = read
        }
        // What was written after the note may be half a line.
        try self.output.truncate(atOffset: note.outputBytes)
        try self.errors.truncate(atOffset: note.errorBytes)
    }

    private static func open(_ path: String) throws(BatchFileError) -> FileHandle {
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .unwritable(path: path, reason: String(cString: strerror(errno))) }
        return FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    }

    /// Adds a line, in memory.
    mutating func add(_ line: Data, isOutput: Bool) {
        if isOutput {
            outputLines += line + Data("\n".utf8)
        } else {
            errorLines += line + Data("\n".utf8)
        }
    }

    /// Writes the lines added and notes that jobs up to this one are in the files.
    mutating func commit(position: Int64) throws {
        try write(outputLines, to: output, length: &note.outputBytes)
        try write(errorLines, to: errors, length: &note.errorBytes)
        (outputLines, errorLines) = (Data(), Data())
        note.position = position
        guard keepsNote else { return }
        try JSONEncoder().encode(note).write(to: URL(fileURLWithPath: notePath), options: .atomic)
    }

    private func write(_ lines: Data, to file: FileHandle, length: inout UInt64) throws {
        if lines.isEmpty { return }
        try file.write(contentsOf: lines)
        try file.synchronize()
        length += UInt64(lines.count)
    }

    /// Sees that the files are on the disk, whole, and removes the note.
    func finish() throws {
        try output.synchronize()
        try errors.synchronize()
        for path in Set([outputPath, errorPath].map { URL(fileURLWithPath: $0).deletingLastPathComponent().path }) {
            try DurableFile.synchronize(folder: path)
        }
        if FileManager.default.fileExists(atPath: notePath) { try FileManager.default.removeItem(atPath: notePath) }
    }
}
