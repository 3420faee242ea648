// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Compression
import Foundation
import ModelFiles
import Service

/// `deltakv calibrate`: make a model's compressor.
struct CalibrateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "calibrate", abstract: "Make the compressor that keeps a model's KV cache small.",
        discussion: """
            Runs texts through the model once, looks at its keys, values and attention, and solves a codec for every layer.
            Give texts like those that you will work on. The compressor lies beside the model unless --output says otherwise
            and serves these weights only. The codec paper is there to compare with: the linear compressors of the
            DeltaKV paper in closed form, a folder in the layout that its authors publish.
            """)

    enum Codec: String, ExpressibleByArgument, CaseIterable { case transform, paper }

    @OptionGroup var settings: SettingsOptions

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Texts to learn from, instead of manuals that lie on this machine.", valueName: "file"))
    var text: [String] = []

    @Option(help: ArgumentHelp("The most tokens of text that are used.", valueName: "n"))
    var tokens = 20_000

    @Option(help: ArgumentHelp("Coarseness: larger is smaller and less exact.", valueName: "x"))
    var step: Float = CodecSettings().step

    @Option(help: ArgumentHelp("Every so many tokens one is a reference for others.", valueName: "n"))
    var stride = CodecSettings().stride

    @Option(help: "The codec to calibrate.")
    var codec = Codec.transform

    @Option(
        help: ArgumentHelp("Elements of a latent of the codec paper; by default a quarter of a row.", valueName: "n"))
    var latent: Int?

    @Option(help: ArgumentHelp("Where to write the compressor.", valueName: "file"))
    var output: String?

    @Flag(help: "One line of JSON for each layer.")
    var json = false

    func validate() throws {
        guard (0.1...20).contains(step) else { throw ValidationError("--step must be between 0.1 and 20") }
        guard (2...1000).contains(stride) else { throw ValidationError("--stride must be between 2 and 1000") }
        guard codec == .paper || latent == nil else { throw ValidationError("--latent is for --codec paper") }
        guard (latent ?? 1) > 0 else { throw ValidationError("--latent must be above 0") }
        guard tokens >= Calibration.leastTokens else {
            throw ValidationError("--tokens must be at least \(Calibration.leastTokens)")
        }
    }

    func run() async throws {
        let settings = try await settings.load()
        let modelPath = try ModelStore().path(of: settings.model)
        let digest = try ModelFile(path: modelPath).digest()
        let loaded = try settings.loadModel()
        let texts = try CalibrationTexts(files: text).pieces(of: tokens) { loaded.tokenizer.encode($0) }
        if codec == .paper { return try calibratePaper(loaded, digest: digest, modelPath: modelPath, texts) }
        let calibration = Calibration(
            model: loaded.model, modelDigest: digest, settings: CodecSettings(stride: stride, step: step),
            threads: loaded.threads)
        var bar = CalibrationBar()
        let result = try calibration.run(texts + RecallPieces.make(from: texts)) { bar.show($0) }
        bar.finish()
        let path = output ?? CompressorFile.path(forModel: modelPath)
        try CompressorFile.save(result.compressor, path: path)
        for layer in result.layers { try report(layer) }
        if !json {
            let observers = result.compressor.observationLayers.map(String.init).joined(separator: ", ")
            print(
                "Observation layers \(observers): they cover \(percent(result.coverage)) of what other layers attend to."
            )
            print("Wrote \(path).")
        }
    }

    private struct Row: Encodable {
        let layer: Int
        let step: Double
        let residualShare: Double
        let bitsPerRow: Double
        let ratio: Double
    }

    private func report(_ layer: LayerReport) throws {
        if json {
            try printJSON(
                Row(
                    layer: layer.layer, step: layer.step, residualShare: layer.residualShare,
                    bitsPerRow: layer.bitsPerRow, ratio: layer.ratio))
        } else {
            print(
                "layer \(layer.layer): prediction leaves \(percent(layer.residualShare)), "
                    + "\(Int(layer.bitsPerRow.rounded())) bits a token (\(percent(layer.ratio)) of f16)")
        }
    }

    func percent(_ share: Double) -> String { String(format: "%.1f %%", 100 * share) }
}

/// A line that shows how far calibration is.
struct CalibrationBar {
    private let isTerminal = ProgressDisplay.isPossible

    mutating func show(_ progress: Calibration.Progress) {
        switch progress {
        case .tokens(let done, let all): draw(done, all, "tokens read", isLast: done == all)
        case .effects(let done, let all): draw(done, all, "layers' effects measured", isLast: done == all)
        case .layers(let done, let all): draw(done, all, "layers solved", isLast: done == all)
        }
    }

    private func draw(_ done: Int, _ all: Int, _ what: String, isLast: Bool) {
        let filled = all > 0 ? 24 * done / all : 0
        let bar = String(repeating: "#", count: filled) + String(repeating: "-", count: 24 - filled)
        if isTerminal {
            FileHandle.standardError.write(Data("\r\u{1B}[K[\(bar)] \(done) of \(all) \(what)".utf8))
        } else if isLast {
            printError("\(done) of \(all) \(what)")
        }
    }

    func finish() {
        if isTerminal { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) }
    }
}
