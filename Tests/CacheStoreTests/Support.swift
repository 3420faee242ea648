// SPDX-License-Identifier: Apache-2.0
import CacheSamples
import Foundation
import Synchronization
import Testing

@testable import CacheStore

/// A folder that goes with the value.
final class Folder: Sendable {
    let path = NSTemporaryDirectory() + "deltakv-cache-\(UUID().uuidString)"

    deinit { try? FileManager.default.removeItem(atPath: path) }

    var names: [String] { (try? FileManager.default.contentsOfDirectory(atPath: path).sorted()) ?? [] }
    var temporaries: [String] { names.filter { $0.hasSuffix(".tmp") } }
}

/// A time that only tests change.
final class TestClock: Sendable {
    private let time = Mutex(Date(timeIntervalSince1970: 2_000_000_000))

    var now: Date { time.withLock { $0 } }
    func advance(_ seconds: Double) { time.withLock { $0 += seconds } }
}

extension CacheSettings {
    /// Large enough for all that tests keep, however full the machine's disk is.
    static let roomy = CacheSettings(budget: 1 << 30, life: nil, freeFloor: 0)
}

extension CacheStore {
    /// Publishes all chunks of a document in order.
    @discardableResult
    func publish(_ document: SampleDocument, salt: [UInt8] = [], prefillSeconds: Double = 1) throws -> [Publication] {
        let chain = document.chain(in: self, salt: salt)
        return try (0..<chain.count).map {
            try publish(document.sections($0), at: $0, of: chain, prefillSeconds: prefillSeconds)
        }
    }

    /// Loads a document and checks what is loaded.
    @discardableResult
    func load(_ document: SampleDocument, salt: [UInt8] = []) -> LoadedChain {
        let loaded = load(document.chain(in: self, salt: salt))
        for chunk in loaded.chunks {
            #expect(document.isRight(chunk), "document \(document.number), chunk \(chunk.index)")
        }
        #expect(loaded.chunks.map(\.index) == Array(0..<loaded.chunks.count))
        return loaded
    }
}

func contents(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))) }

/// Puts a file in place of what is there.
func put(_ bytes: [UInt8], _ path: String) throws {
    // File systems make haste to write what replaces the contents of a file, which tests that do it often would wait for.
    unlink(path)
    try Data(bytes).write(to: URL(fileURLWithPath: path))
}
