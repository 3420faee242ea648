// SPDX-License-Identifier: Apache-2.0
import CacheSamples
import Foundation
import SeededRandom
import Testing

@testable import CacheStore

/// Real processes on one directory, killed at random moments. `ops/soak cache` runs 500 rounds, the suite a few.
@Suite(.serialized) struct ProcessTests {
    private static let rounds =
        ProcessInfo.processInfo.environment["DELTAKV_SOAK_ROUNDS"].flatMap { Int($0) } ?? 6
    private static let seed =
        ProcessInfo.processInfo.environment["DELTAKV_SOAK_SEED"].flatMap { UInt64($0) } ?? 1

    @Test(arguments: [1 << 30, 60_000]) func killedProcessesLeaveNothingWrong(budget: Int) throws {
        var random = SplitMix(state: Self.seed), folder = Folder(), killed = 0, written = 0
        for round in 0..<(Self.rounds + 1) / 2 {
            // Now and then an empty directory, so that beginnings are seen too.
            if round.isMultiple(of: 10) { folder = Folder() }
            let log = NSTemporaryDirectory() + "deltakv-cache-log-\(UUID().uuidString)",
                first = random.next() % (1 << 40) * 2
            try put([], log)
            defer { unlink(log) }
            let workers = try ["write", "write", "read", "collect"].map { mode in
                try Worker(mode, folder.path, log: log, seed: random.next(), first: first, budget: budget)
            }
            for worker in workers.shuffled(using: &random) {
                usleep(UInt32(random.next() % 60_000))
                worker.kill()
                killed += 1
            }
            for worker in workers { #expect(worker.failure == nil, "round \(round): \(worker.failure ?? "")") }
            let promised = Set(
                try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n").compactMap { ChunkKey($0) })
            written += promised.count
            try check(folder, promised: budget == 1 << 30 ? promised : [], first: first, "round \(round)")
        }
        #expect(written > 0)
        print("\(killed) processes killed, \(written) chunks promised, budget \(budget)")
    }

    /// What must hold when all processes are gone.
    private func check(_ folder: Folder, promised: Set<ChunkKey>, first: UInt64, _ round: String) throws {
        let store = try CacheStore(directory: folder.path, settings: .roomy)
        for entry in store.entries { #expect(store.verify(entry.key) == .sound, "\(round)") }
        for key in promised { #expect(store.verify(key) == .sound, "\(round): a chunk is lost") }
        let before = store.entries.count
        let report = try store.collectGarbage()
        #expect(report.damaged == 0 && report.expired == 0 && report.evicted == 0, "\(round): \(report)")
        #expect(folder.temporaries.isEmpty, "\(round)")
        #expect(store.entries.count == before - report.orphans)
        if !promised.isEmpty { #expect(report.orphans == 0, "\(round)") }
        #expect(try store.collectGarbage() == GarbageReport(), "\(round)")
        for number in 0..<200 {
            let document = SampleDocument(first + UInt64(number)), chain = document.chain(in: store),
                loaded = store.load(document)
            #expect(loaded.miss == nil || loaded.miss == .absent, "\(round)")
            #expect(chain.keys.dropFirst(loaded.chunks.count).allSatisfy { !promised.contains($0) }, "\(round)")
        }
    }

    /// The process's own limit on file sizes, in blocks of 1,024 bytes, breaks writes off at any place.
    @Test(arguments: 0...9) func aLimitOnFilesDoesNoHarm(blocks: Int) throws {
        let folder = Folder()
        let (status, output) = try Worker.run(
            ["-c", "ulimit -f \(blocks); exec \"$@\"", "sh"] + Worker.arguments("fill", folder.path, log: "/dev/null"))
        if blocks == 0 {
            #expect(status == 4 && output.contains("no room left"), "\(status) \(output)")
        } else {
            #expect(status == 0 && output.hasPrefix("full after"), "\(status) \(output)")
        }
        let store = try CacheStore(directory: folder.path, settings: .roomy)
        for entry in store.entries { #expect(store.verify(entry.key) == .sound) }
        #expect(try store.collectGarbage() == GarbageReport())
        try store.publish(SampleDocument(1))
        #expect(store.load(SampleDocument(1)).miss == nil)
    }

    /// A small file system of its own that runs full. The process checks its chunks itself, since it alone sees them.
    @Test(arguments: [16, 40, 100, 333, 800]) func aFullDiskDoesNoHarm(kilobytes: Int) throws {
        let folder = Folder()
        try FileManager.default.createDirectory(atPath: folder.path, withIntermediateDirectories: true)
        let mount = "mount -t tmpfs -o size=\(kilobytes)k,mode=700 cache \"$0\" && exec \"$@\""
        let (status, output) = try Worker.run(
            ["-c", "exec unshare --mount \(geteuid() == 0 ? "" : "--map-root-user") \"$@\"", "sh"]
                + ["sh", "-c", mount, folder.path] + Worker.arguments("fill", folder.path, log: "/dev/null"))
        #expect(status == 0 && output.hasPrefix("full after"), "\(status) \(output)")
    }

    /// Threads of one process and two stores on one directory: each chunk is written once.
    @Test func oneOfManyWrites() async throws {
        let folder = Folder()
        let stores = try (0..<2).map { _ in try CacheStore(directory: folder.path, settings: .roomy) }
        let documents = (0..<8).map { SampleDocument(UInt64(2 * $0)) }
        await withTaskGroup { group in
            for task in 0..<6 {
                group.addTask {
                    for document in documents {
                        let store = stores[task % 2], chain = document.chain(in: store)
                        for index in 0..<chain.count {
                            #expect(throws: Never.self) {
                                _ = try store.publish(document.sections(index), at: index, of: chain, prefillSeconds: 1)
                            }
                        }
                    }
                }
            }
        }
        #expect(stores.reduce(0) { $0 + $1.statistics.written } == 40)
        for document in documents { #expect(stores[0].load(document).miss == nil) }
    }
}

/// `CacheWorker` under way.
private final class Worker {
    private let process = Process()
    private let errors = Pipe()

    private static let executable = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        .deletingLastPathComponent().appendingPathComponent("CacheWorker").path

    static func arguments(
        _ mode: String, _ folder: String, log: String, seed: UInt64 = 1, first: UInt64 = 0, budget: Int = 1 << 30
    ) -> [String] {
        [executable, mode, folder, log, String(seed), String(first), String(budget)]
    }

    init(_ mode: String, _ folder: String, log: String, seed: UInt64, first: UInt64, budget: Int) throws {
        let arguments = Self.arguments(mode, folder, log: log, seed: seed, first: first, budget: budget)
        process.executableURL = URL(fileURLWithPath: arguments[0])
        process.arguments = Array(arguments.dropFirst())
        process.standardError = errors
        try process.run()
    }

    /// Kills without mercy and waits.
    func kill() {
        Glibc.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// What went wrong before the end that the test gave it; nil for nothing.
    var failure: String? {
        if process.terminationReason == .uncaughtSignal, process.terminationStatus == SIGKILL { return nil }
        let text = String(decoding: errors.fileHandleForReading.availableData, as: UTF8.self)
        return "ended with \(process.terminationStatus): \(text)"
    }

    /// Runs a shell command to its end.
    static func run(_ arguments: [String]) throws -> (status: Int32, output: String) {
        let process = Process(), pipe = Pipe()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = arguments
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: data, as: UTF8.self))
    }
}
