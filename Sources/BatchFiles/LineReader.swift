// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Reads a file line by line, holding one line and one block at a time.
struct LineReader {
    /// A line, without its end.
    enum Line: Equatable {
        case text(Data)
        /// It had more bytes than a line may have, and was passed over.
        case tooLong
    }

    private static let blockBytes = 1 << 20
    private let file: FileHandle
    private let maxLineBytes: Int
    private var block = Data()
    private var isAtEnd = false
    /// Number of the last line read, from 1.
    private(set) var number = 0

    /// Opens a file.
    ///
    /// - Throws: ``BatchFileError/unreadable(path:reason:)``.
    init(path: String, maxLineBytes: Int) throws(BatchFileError) {
        do {
            file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
        } catch {
            throw .unreadable(path: path, reason: error.localizedDescription)
        }
        self.maxLineBytes = maxLineBytes
    }

    /// The next line; nil at the end of the file. What follows the last line feed is a line unless it is empty.
    mutating func next() throws -> Line? {
        var line = Data()
        var isTooLong = false
        func ended() -> Line { isTooLong ? .tooLong : .text(line) }
        while true {
            if let end = block.firstIndex(of: UInt8(ascii: "\n")) {
                if !isTooLong { line += block[..<end] }
                block = block[(end + 1)...]
                number += 1
                isTooLong = isTooLong || line.count > maxLineBytes
                return ended()
            }
            if !isTooLong { line += block }
            if line.count > maxLineBytes {
                isTooLong = true
                line = Data()
            }
            guard !isAtEnd, let more = try file.read(upToCount: Self.blockBytes), !more.isEmpty else {
                isAtEnd = true
                block = Data()
                guard isTooLong || !line.isEmpty else { return nil }
                number += 1
                return ended()
            }
            block = more
        }
    }

    /// Counts the lines of a file, blank ones at its end excepted, and its bytes.
    static func measure(path: String) throws -> (lines: Int, bytes: Int) {
        let file: FileHandle
        do {
            file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
        } catch {
            throw BatchFileError.unreadable(path: path, reason: error.localizedDescription)
        }
        var status = stat()
        guard fstat(file.fileDescriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw BatchFileError.unreadable(path: path, reason: "it is read twice, so it must be a regular file")
        }
        var lines = 0, bytes = 0
        var isInLine = false
        while let block = try file.read(upToCount: blockBytes), !block.isEmpty {
            bytes += block.count
            for byte in block {
                if byte == UInt8(ascii: "\n") {
                    if isInLine { lines += 1 }
                    isInLine = false
                } else if byte != UInt8(ascii: "\r") {
                    isInLine = true
                }
            }
        }
        return (lines + (isInLine ? 1 : 0), bytes)
    }
}
