// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CacheStore
import Service

extension CacheCommand {
    /// `deltakv cache verify`.
    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Read every byte of all chunks, or of one, and check it.",
            discussion: "Ends with 1 if anything is damaged or cannot be read. Encrypted chunks need DELTAKV_CACHE_KEY."
        )

        @OptionGroup var place: Place

        @Argument(help: "One chunk's key, or the beginning of it.")
        var key: String?

        @Flag(help: "Remove what is damaged, so that it is computed and written anew.")
        var remove = false

        @Option(help: ArgumentHelp("Bytes a second at most, such as 50MiB.", valueName: "size"))
        var rate: String?

        @Flag(help: "One line of JSON for each chunk.")
        var json = false

        func validate() throws {
            guard rate == nil || (rate.flatMap(parseByteCount) ?? 0) > 0 else {
                throw ValidationError("--rate must be a size such as 50MiB")
            }
        }

        private struct Row: Encodable {
            let key: String
            let state: String
            let reason: String?
        }

        func run() async throws {
            let store = try await place.open(), rate = rate.flatMap(parseByteCount)
            let entries = try key.map { [try Chunk.parse([$0]).find(in: store)] } ?? CacheListing.inOrder(store.entries)
            var counts: [String: Int] = [:]
            for entry in entries {
                let row = look(at: entry, in: store)
                counts[row.state, default: 0] += 1
                if json {
                    try printJSON(row)
                } else if row.state != "sound" {
                    print("\(row.key)  \(row.state)\(row.reason.map { ": \($0)" } ?? "")")
                }
                if let rate { try await Task.sleep(for: .seconds(Double(entry.bytes) / Double(rate))) }
            }
            if !json {
                print(counts.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(separator: ", "))
            }
            if counts["damaged"] != nil || counts["unreadable"] != nil { throw ExitCode(1) }
        }

        private func look(at entry: CacheEntry, in store: CacheStore) -> Row {
            switch store.verify(entry.key) {
            case .sound: return Row(key: "\(entry.key)", state: "sound", reason: nil)
            case .locked: return Row(key: "\(entry.key)", state: "locked", reason: "encrypted with another key")
            case .gone: return Row(key: "\(entry.key)", state: "gone", reason: nil)
            case .unreadable: return Row(key: "\(entry.key)", state: "unreadable", reason: nil)
            case .damaged(let miss):
                let isGone = remove && store.remove(entry.key)
                return Row(
                    key: "\(entry.key)", state: "damaged", reason: miss.rawValue + (isGone ? ", removed" : ""))
            }
        }
    }

    /// `deltakv cache gc`.
    struct Collect: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "gc", abstract: "Remove what is of no use: broken-off writes, old and unreachable chunks.",
            discussion: """
                Where the budget or the floor of free space asks for it, chunks that save the least prefill for their bytes go too.
                What a daemon uses stays.
                """)

        @OptionGroup var place: Place

        @Flag(help: "One line of JSON.")
        var json = false

        func run() async throws {
            let report = try await place.open().collectGarbage()
            if json { return try printJSON(report) }
            print(
                """
                Removed \(report.temporaries) broken-off writes, \(report.damaged) damaged, \(report.expired) expired, \
                \(report.orphans) unreachable and \(report.evicted) least useful chunks: \(formatByteCount(report.freedBytes)).
                """)
        }
    }
}
