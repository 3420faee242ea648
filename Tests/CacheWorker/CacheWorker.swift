// SPDX-License-Identifier: Apache-2.0
import CacheSamples
import CacheStore
import Foundation
import SeededRandom

/// Uses a cache until it is killed: `CacheWorker write|read|collect DIRECTORY LOG SEED FIRST-DOCUMENT BUDGET`, or fills one until
/// nothing fits: `CacheWorker fill DIRECTORY LOG SEED FIRST-DOCUMENT BUDGET`.
///
/// Each key that a store has said to be on the disk goes to LOG, one a line. Ends with 3 where a chunk holds something wrong, with 4
/// where the cache cannot be used.
@main
struct CacheWorker {
    let store: CacheStore
    let log: Int32
    let first: UInt64
    var random: SplitMix

    static func main() async {
        do {
            try await work()
        } catch {
            FileHandle.standardError.write(Data("\(error)\n".utf8))
            exit(4)
        }
    }

    private static func work() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 7, let seed = UInt64(arguments[4]), let first = UInt64(arguments[5]),
            let budget = Int(arguments[6])
        else { exit(2) }
        signal(SIGXFSZ, SIG_IGN)
        // To run into the wall, the store must not see it coming.
        let settings = CacheSettings(budget: budget, life: nil, freeFloor: arguments[1] == "fill" ? -1 << 50 : 0)
        var worker = CacheWorker(
            store: try CacheStore(directory: arguments[2], settings: settings),
            log: open(arguments[3], O_WRONLY | O_APPEND | O_CREAT, 0o600), first: first, random: SplitMix(state: seed))
        switch arguments[1] {
        case "write": while true { try worker.write() }
        case "read": while true { worker.read() }
        case "collect": while true { try await worker.collect() }
        case "fill": try worker.fill()
        default: exit(2)
        }
    }

    private mutating func document() -> SampleDocument { SampleDocument(first + random.next() % 200) }

    /// Loads what there is of a document and writes the rest.
    private mutating func write() throws {
        let document = document(), chain = document.chain(in: store), loaded = check(document, store.load(chain))
        for index in loaded.chunks.count..<chain.count {
            let result = try store.publish(document.sections(index), at: index, of: chain, prefillSeconds: 1)
            switch result {
            case .written, .present: say(chain.keys[index])
            case .busy, .unreachable, .noRoom: break
            }
        }
        withExtendedLifetime(loaded) {}
    }

    private mutating func read() {
        let document = document()
        _ = check(document, store.load(document.chain(in: store)))
    }

    private func collect() async throws {
        _ = try store.collectGarbage()
        let report = try await store.scrub()
        if report.damaged > 0 { fail("scrub found \(report)") }
    }

    /// Writes documents until the disk is full, prints how many chunks were written, and checks them.
    private func fill() throws {
        var written = 0
        for number in 0..<10_000 {
            let document = SampleDocument(first + UInt64(number)), chain = document.chain(in: store)
            for index in 0..<chain.count {
                let result = Result { () throws(CacheError) in
                    try store.publish(document.sections(index), at: index, of: chain, prefillSeconds: 1)
                }
                if case .failure(.diskFull) = result {
                    (0...number).forEach { check(SampleDocument(first + UInt64($0))) }
                    let names = try FileManager.default.contentsOfDirectory(atPath: store.path)
                    if names.contains(where: { $0.hasSuffix(".tmp") }) { fail("a temporary file is left") }
                    return print("full after \(written)")
                }
                if case .written = try result.get() { written += 1 }
            }
        }
        fail("the disk is never full")
    }

    private func check(_ document: SampleDocument) { _ = check(document, store.load(document.chain(in: store))) }

    private func check(_ document: SampleDocument, _ loaded: LoadedChain) -> LoadedChain {
        if let wrong = loaded.chunks.first(where: { !document.isRight($0) }) {
            fail("document \(document.number), chunk \(wrong.index) holds something else")
        }
        if let miss = loaded.miss, miss != .absent { fail("document \(document.number): \(miss)") }
        return loaded
    }

    private func say(_ key: ChunkKey) {
        let line = Array("\(key)\n".utf8)
        _ = Glibc.write(log, line, line.count)
    }

    private func fail(_ text: String) -> Never {
        FileHandle.standardError.write(Data((text + "\n").utf8))
        exit(3)
    }
}
