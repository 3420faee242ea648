// SPDX-License-Identifier: Apache-2.0

import Compression
import Foundation
import Inference
import Kernels
import Logging
import ModelFiles

extension Doctor {
    var model: Finding {
        do {
            let description = try ModelDescription(path: ModelStore().path(of: settings.model))
            let text = "\(description.name), \(formatByteCount(description.bytes)), \(description.path)"
            let problems = description.unsupported + [description.chatProblem].compactMap(\.self)
            if !problems.isEmpty {
                let reason = problems.joined(separator: "; ")
                return Finding("model", .bad, "\(text): \(reason)", advice: "choose another with --model")
            }
            return Finding("model", .good, text)
        } catch {
            return Finding("model", .bad, "\(error)", advice: "run 'deltakv model fetch', or name one with --model")
        }
    }

    /// What `kv.policy` deltakv codes prompts with, without making it.
    var compressor: Finding {
        guard settings.kvPolicy == .deltakv else {
            return Finding("compressor", .good, "none needed: kv.policy is full")
        }
        do {
            let path = try ModelStore().path(of: settings.model), digest = try ModelFile(path: path).digest()
            let provider = CompressorProvider(
                sample: try Installation().calibrationSample, logger: Logger(label: "deltakv.doctor"))
            let places = provider.places(model: path, digest: digest).read
            guard let file = places.first(where: FileManager.default.fileExists(atPath:)) else {
                return Finding(
                    "compressor", .good, "none yet, the first daemon makes one: \(places.joined(separator: " or "))")
            }
            _ = try CompressorFile.load(path: file, forModelDigest: digest)
            return Finding("compressor", .good, "\(file), made for this model")
        } catch let error as CompressionError {
            return Finding(
                "compressor", .warning, "\(error)",
                advice: "the next daemon that starts makes a new one, or 'deltakv calibrate'")
        } catch {
            return Finding("compressor", .bad, "not looked at: \(error)", advice: "see to the model first")
        }
    }

    /// Which of the model's heads see the ends of their context only, without measuring it.
    var heads: Finding {
        guard let sparse = settings.engine.sparse, settings.engine.kvDataType == .int8 else {
            return Finding("heads", .good, "all see the whole context: decode.share or kv.type says so")
        }
        let share = (100 * sparse.share).formatted(.number.precision(.fractionLength(0...1)))
        guard settings.usesLocalHeads else {
            return Finding("heads", .good, "all pick at most \(share) % of the tokens: decode.local_heads is none")
        }
        do {
            let path = try ModelStore().path(of: settings.model), digest = try ModelFile(path: path).digest()
            let places = HeadReachFile.places(model: path, digest: digest).read
            guard let reach = places.lazy.compactMap({ HeadReachFile.read($0, model: digest) }).first else {
                return Finding(
                    "heads", .good,
                    """
                    not measured yet: the first start does it, if the model's context is \(HeadReach.leastContext) tokens or more, \
                    in \(places.joined(separator: " or "))
                    """)
            }
            let all = reach.local().joined(), local = all.filter { $0 }.count
            return Finding(
                "heads", .good,
                """
                \(local) of \(all.count) KV heads see the first and last tokens only when tokens are generated, the others \
                pick at most \(share) % of them
                """)
        } catch {
            return Finding("heads", .bad, "not looked at: \(error)", advice: "see to the model first")
        }
    }
}
