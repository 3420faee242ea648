// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import BatchFiles

/// What an export that was broken off leaves, and who may go on with it.
@Suite struct ExportFilesTests {
    private static func withFolder(_ body: (String) throws -> Void) throws {
        let path = NSTemporaryDirectory() + "deltakv-export-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: path) }
        try body(path)
    }

    private static func files(
        _ folder: String, ended: Date? = Date(timeIntervalSince1970: 100), resumes: Bool = true
    ) throws -> ExportFiles {
        try ExportFiles(
            output: folder + "/output", errors: folder + "/errors", batchID: 1, ended: ended, resumes: resumes)
    }

    private static func breakOff(_ files: consuming ExportFiles) throws {
        var files = files
        files.add(Data("one".utf8), isOutput: true)
        try files.commit(position: 800)
    }

    @Test func theNextExportOfTheSameStateGoesOn() throws {
        try Self.withFolder { folder in
            try Self.breakOff(Self.files(folder))
            var next = try Self.files(folder)
            #expect(next.position == 800)
            next.add(Data("two".utf8), isOutput: true)
            try next.commit(position: 900)
            try next.finish()
            #expect(try String(contentsOfFile: folder + "/output", encoding: .utf8) == "one\ntwo\n")
            #expect(!FileManager.default.fileExists(atPath: folder + "/output.progress"))
        }
    }

    @Test func jobsThatRanAgainBeginItAnew() throws {
        try Self.withFolder { folder in
            try Self.breakOff(Self.files(folder))
            #expect(try Self.files(folder, ended: Date(timeIntervalSince1970: 200)).position == 0)
        }
    }

    @Test func anExportOfWhatHasEndedSoFarIsNoBeginning() throws {
        try Self.withFolder { folder in
            try Self.breakOff(Self.files(folder, resumes: false))
            #expect(try Self.files(folder).position == 0)
            // Nor does it leave an earlier note that its own lines would belie.
            try Self.breakOff(Self.files(folder))
            try Self.breakOff(Self.files(folder, resumes: false))
            #expect(try Self.files(folder).position == 0)
        }
    }

    @Test func oneFileCannotBeBoth() throws {
        try Self.withFolder { folder in
            #expect(throws: BatchFileError.self) {
                try ExportFiles(output: folder + "/a", errors: folder + "/a", batchID: 1, ended: nil, resumes: true)
            }
        }
    }

    @Test func whatCanBeReadOnlyOnceIsRefused() throws {
        try Self.withFolder { folder in
            #expect(mkfifo(folder + "/pipe", 0o600) == 0)
            // Somebody who writes, or opening it to read would wait.
            let writer = open(folder + "/pipe", O_RDWR)
            defer { close(writer) }
            #expect(throws: BatchFileError.self) { try LineReader.measure(path: folder + "/pipe") }
        }
    }
}
