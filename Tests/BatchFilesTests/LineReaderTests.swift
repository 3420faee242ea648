// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import BatchFiles

@Suite struct LineReaderTests {
    private func lines(_ text: Data, maxLineBytes: Int = 1 << 20) throws -> [LineReader.Line] {
        let path = try temporaryFile(text)
        defer { try? FileManager.default.removeItem(atPath: path) }
        var reader = try LineReader(path: path, maxLineBytes: maxLineBytes)
        var found: [LineReader.Line] = []
        while let line = try reader.next() {
            found.append(line)
            #expect(reader.number == found.count)
        }
        return found
    }

    @Test func linesAreWhatASplitGives() throws {
        for text in ["", "a", "a\n", "a\nb", "\n\n", "a\n\nb\n", "ä漢\n字\r\n"] {
            var parts = text.split(separator: "\n", omittingEmptySubsequences: false).map { Data($0.utf8) }
            if parts.last == Data() { parts.removeLast() }
            if text.hasSuffix("\r\n") { parts = [Data("ä漢".utf8), Data("字\r".utf8)] }
            #expect(try lines(Data(text.utf8)) == parts.map(LineReader.Line.text), "\(text)")
        }
    }

    @Test func linesOverBlockBordersAreWhole() throws {
        // Blocks have a mebibyte: lines end before, at and after their borders.
        let sizes = [(1 << 20) - 1, 0, 1 << 20, (1 << 20) + 1, 3 << 20, 5]
        let text = Data(sizes.map { String(repeating: "x", count: $0) }.joined(separator: "\n").utf8)
        let found = try lines(text, maxLineBytes: 4 << 20)
        #expect(found == sizes.map { .text(Data(repeating: 0x78, count: $0)) })
    }

    @Test func longLinesArePassedOver() throws {
        let long = String(repeating: "y", count: 3 << 20)
        let found = try lines(Data("a\n\(long)\nb\n\(long)".utf8), maxLineBytes: 1000)
        #expect(found == [.text(Data("a".utf8)), .tooLong, .text(Data("b".utf8)), .tooLong])
    }

    @Test func aFileIsMeasured() throws {
        for (text, count) in [("", 0), ("a", 1), ("a\n", 1), ("a\n\n\r\nb", 2), ("a\nb\n\n", 2)] {
            let path = try temporaryFile(Data(text.utf8))
            defer { try? FileManager.default.removeItem(atPath: path) }
            #expect(try LineReader.measure(path: path) == (count, text.utf8.count))
        }
        #expect(throws: BatchFileError.self) { try LineReader.measure(path: "/does/not/exist") }
    }
}

/// A new file with that content.
func temporaryFile(_ content: Data) throws -> String {
    let path = NSTemporaryDirectory() + "deltakv-batch-\(UUID().uuidString)"
    try content.write(to: URL(fileURLWithPath: path))
    return path
}
