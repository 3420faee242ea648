// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Service

/// `deltakv model`: get models, look into them, check them.
struct ModelCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "model", abstract: "Fetch, list, look into and check models.",
        subcommands: [Fetch.self, List.self, Info.self, Verify.self])

    struct Fetch: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Download a model and check its digest; does nothing if it is there.")

        @Argument(help: "The model's name.")
        var name = ModelStore.defaultModel.name

        func run() throws {
            guard let source = ModelStore.sources.first(where: { $0.name == name }) else {
                let known = ModelStore.sources.map(\.name).joined(separator: ", ")
                throw ValidationError("'\(name)' cannot be fetched: there is \(known)")
            }
            let (path, wasPresent) = try ModelStore().fetch(source)
            print(wasPresent ? "\(path) is there already." : "Fetched \(path).")
        }
    }

    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List the models here and those to be fetched.")

        @Flag(help: "One line of JSON for each model.")
        var json = false

        private struct Row: Encodable {
            let name: String
            let path: String?
            let installed: Bool
            let summary: String?
        }

        func run() throws {
            let store = ModelStore()
            let installed = store.installed()
            let known = ModelStore.sources.map(\.name)
            let rows = try (known + installed.filter { !known.contains($0) }).map { name in
                Row(
                    name: name, path: installed.contains(name) ? try store.path(of: name) : nil,
                    installed: installed.contains(name),
                    summary: ModelStore.sources.first { $0.name == name }?.summary)
            }
            for row in rows {
                if json {
                    try printJSON(row)
                } else {
                    print("\(row.name)  \(row.path ?? "not fetched")  \(row.summary ?? "")")
                }
            }
        }
    }

    struct Info: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show what a model holds, what it needs, and what context fits this machine.")

        @Argument(help: "A GGUF file, a Hugging Face folder or a model's name.")
        var model = ModelStore.defaultModel.name

        @Flag(help: "One line of JSON.")
        var json = false

        func run() throws {
            let description = try ModelDescription(path: ModelStore().path(of: model))
            if json { try printJSON(description) } else { print(description.text) }
        }
    }

    struct Verify: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Read a whole model, check every weight and the tokenizer, print its SHA-256.")

        @Argument(help: "A GGUF file, a Hugging Face folder or a model's name.")
        var model = ModelStore.defaultModel.name

        func run() throws {
            let path = try ModelStore().path(of: model)
            let digest = try ModelDescription.verifiedDigest(path: path)
            if let source = ModelStore.sources.first(where: { $0.sha256 == digest }) {
                print("\(path): whole, and the published \(source.name). SHA-256 \(digest)")
            } else {
                print("\(path): whole. SHA-256 \(digest)")
            }
        }
    }
}
