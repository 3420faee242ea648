// SPDX-License-Identifier: Apache-2.0
import AllocationCounter
import Foundation
import Synchronization
import Testing

/// Readers of untrusted files under mutated inputs: no crash, no hang, and no more memory asked for than a constant times what
/// the input has. `ops/fuzz readers` runs a million inputs; the suite runs a few thousand.
///
/// An input's number is its seed, so that one is run again alone with `DELTAKV_FUZZ_SEED` and `DELTAKV_FUZZ_INPUTS=1`.
@Suite(.serialized) struct ReaderFuzzTests {
    /// Bytes asked for, all allocations of a reader together, for each byte of input, and beside that.
    private static let bytesPerByte = 2000, bytesBeside = 4 << 20

    private static func setting(_ name: String, default fallback: UInt64) -> UInt64 {
        ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) } ?? fallback
    }

    @Test(arguments: FuzzTarget.all)
    func hostileInputsAreReadOrRefused(_ target: FuzzTarget) throws {
        let first = Self.setting("DELTAKV_FUZZ_SEED", default: 0)
        let inputs = Self.setting("DELTAKV_FUZZ_INPUTS", default: 2000)
        let seeds = try target.seeds(), file = try InputFile(names: target.names, fixed: target.fixed())
        for seed in seeds {
            file.write(seed)
            #expect(throws: Never.self, "a good input is refused") {
                try target.read(file)
            }
        }
        let watchdog = Watchdog(target.name)
        var read = 0, worst = 0.0
        for input in first..<first + inputs {
            var mutator = Mutator(seeds: seeds, words: target.words, seed: input)
            let bytes = mutator.next()
            file.write(bytes)
            watchdog.begin(input)
            let before = allocation_bytes()
            if (try? target.read(file)) != nil { read += 1 }
            let taken = allocation_bytes() - before
            worst = max(worst, Double(taken) / Double(bytes.count + 1))
            if taken > Self.bytesPerByte * bytes.count + Self.bytesBeside {
                Issue.record("\(target.name), input \(input): \(taken) bytes were asked for \(bytes.count)")
            }
        }
        watchdog.end()
        print("\(target.name): \(inputs) inputs, \(read) read, at most \(Int(worst)) bytes asked for a byte")
        #expect(inputs < 1000 || (read > 10 && read < inputs))
    }
}

/// Ends the process when an input takes too long, and says which; after a crash its file says so too.
private final class Watchdog: Sendable {
    private static let seconds = 20
    private let current = Atomic<UInt64>(.max)
    private let record: UInt64Pointer

    private struct UInt64Pointer: @unchecked Sendable {
        let pointer: UnsafeMutablePointer<UInt64>?
    }

    init(_ name: String) {
        record = UInt64Pointer(pointer: Self.map(ProcessInfo.processInfo.environment["DELTAKV_FUZZ_RECORD"]))
        Thread.detachNewThread { [self] in
            var last = UInt64.max - 1
            while true {
                Thread.sleep(forTimeInterval: Double(Self.seconds))
                let now = current.load(ordering: .relaxed)
                if now == .max - 2 { return }
                if now == last, now != .max {
                    print("\(name), input \(now): not done in \(Self.seconds) seconds")
                    abort()
                }
                last = now
            }
        }
    }

    func begin(_ input: UInt64) {
        current.store(input, ordering: .relaxed)
        record.pointer?.pointee = input
    }

    func end() { current.store(.max - 2, ordering: .relaxed) }

    /// A shared mapping keeps the number through a crash.
    private static func map(_ path: String?) -> UnsafeMutablePointer<UInt64>? {
        guard let path else { return nil }
        let descriptor = open(path, O_RDWR | O_CREAT, 0o600)
        guard descriptor >= 0, ftruncate(descriptor, 8) == 0 else { return nil }
        defer { close(descriptor) }
        let mapping = mmap(nil, 8, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
        return mapping == MAP_FAILED ? nil : mapping?.assumingMemoryBound(to: UInt64.self)
    }
}
