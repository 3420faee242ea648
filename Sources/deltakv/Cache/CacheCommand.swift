// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CacheStore
import Foundation
import Service

/// `deltakv cache`: look at persisted caches and tidy them.
struct CacheCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cache", abstract: "List, show, verify, tidy and export persisted caches.",
        discussion: """
            A cache is a directory of chunks (cache.directory). Each holds the keys and values of some tokens of a prompt and
            follows from the chunk before it. All commands work beside running daemons.
            """,
        subcommands: [List.self, Show.self, Verify.self, Collect.self, Export.self])

    /// Which cache.
    struct Place: ParsableArguments {
        @Option(help: ArgumentHelp("Settings file (YAML).", valueName: "file"))
        var config: String?

        @Option(help: ArgumentHelp("The cache's directory, instead of cache.directory.", valueName: "path"))
        var directory: String?

        func open() async throws -> CacheStore {
            let path = directory.map { URL(fileURLWithPath: $0).standardizedFileURL.path }
            let location = try await Settings.load(flags: path.map { [.cacheDirectory: $0] } ?? [:], file: config).cache
            guard location.exists else {
                throw CacheError.invalid(
                    "there is no cache in \(location.directory) yet: daemons with kv.policy deltakv make it, or set cache.directory"
                )
            }
            return try location.open()
        }
    }

    /// A chunk, by the beginning of its key.
    struct Chunk: ParsableArguments {
        @Argument(help: "The chunk's key, or the beginning of it that no other has.")
        var key: String

        func find(in store: CacheStore) throws -> CacheEntry {
            let found = store.entries(beginning: key.lowercased())
            guard let entry = found.first else {
                throw CacheError.invalid("there is no chunk \(key): 'deltakv cache list' shows those there are")
            }
            guard found.count == 1 else {
                throw CacheError.invalid("\(found.count) chunks begin with \(key): give more of the key")
            }
            return entry
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List chunks, chain by chain.")

        @OptionGroup var place: Place

        @Flag(help: "One line of JSON for each chunk.")
        var json = false

        func run() async throws {
            let store = try await place.open()
            for entry in CacheListing.inOrder(store.entries) {
                if json { try printJSON(CacheListing.Line(entry)) } else { print(CacheListing.Line(entry).text) }
            }
            if !json { print("\(store.entries.count) chunks, \(formatByteCount(store.bytes))") }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a chunk and its sections.")

        @OptionGroup var place: Place
        @OptionGroup var chunk: Chunk

        @Flag(help: "One line of JSON.")
        var json = false

        func run() async throws {
            let store = try await place.open(), entry = try chunk.find(in: store)
            var line = CacheListing.Line(entry)
            line.sections = try store.sections(of: entry.key)
            if json { return try printJSON(line) }
            print(line.details)
        }
    }

    struct Export: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Copy a chunk and all before it to a directory, which is a cache then.")

        @OptionGroup var place: Place
        @OptionGroup var chunk: Chunk

        @Argument(help: "The directory to copy to.")
        var target: String

        @Flag(help: "One line of JSON.")
        var json = false

        private struct Copied: Encodable {
            let chunks: Int
            let directory: String
        }

        func run() async throws {
            let store = try await place.open(), entry = try chunk.find(in: store)
            let path = URL(fileURLWithPath: target).standardizedFileURL.path
            let copied = Copied(chunks: try store.export(entry.key, to: path), directory: path)
            if json { try printJSON(copied) } else { print("Copied \(copied.chunks) chunks to \(path).") }
        }
    }
}
