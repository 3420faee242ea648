// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Crypto
import Engine
import JobQueue
import Kernels
import Tokenization

/// Stands for all that decides a request's output: the model and its settings, the prompt, the options. Attempts with the same
/// identity generate the same tokens, so one may go on where another was cut short.
struct OutputIdentity: Sendable {
    private let digest: SHA256.Digest

    /// The identity of a request's output; nil where the tokens alone do not make the result, and so cannot be gone on with.
    ///
    /// - Parameters:
    ///   - engine: Stands for the model and the settings that decide what prompts come to.
    ///   - sparse: What generated tokens attend to.
    init?(of request: GenerationRequest, engine: CacheFingerprint, sparse: SparseAttention?) {
        guard request.samples == 1, request.logprobs == nil else { return nil }
        var sampling = request.sampling
        // Dictionaries and sets come in any order.
        let bias = sampling.logitBias.sorted { $0.key < $1.key }
        sampling.logitBias = [:]
        let parts = [
            "\(engine)", sparse.map { "\($0)" } ?? "", "\(request.maxTokens) \(request.minTokens)", "\(sampling)",
            "\(bias)",
            "\(request.prompt.count)", "\(request.stopStrings)", "\(request.stopTokens.sorted())",
            request.constraint?.schema ?? "",
        ]
        var hash = SHA256()
        for part in parts { hash.update(data: Array("\(part.utf8.count) \(part)".utf8)) }
        // Little-endian, as all machines are that this runs on; here and below.
        request.prompt.withUnsafeBytes { hash.update(bufferPointer: $0) }
        digest = hash.finalize()
    }

    /// Names a beginning of the output, in 64 hexadecimal digits.
    func fingerprint(of output: [TokenID]) -> String {
        var hash = SHA256()
        hash.update(data: Array(digest))
        output.withUnsafeBytes { hash.update(bufferPointer: $0) }
        return hash.finalize().map { byte in
            let digits = String(byte, radix: 16)
            return digits.count < 2 ? "0" + digits : digits
        }.joined()
    }

    /// What an earlier attempt has left, if it is the beginning of this output and whole.
    func resumable(_ saved: SavedOutput?) -> [TokenID] {
        guard let saved, saved.fingerprint == fingerprint(of: saved.output) else { return [] }
        return saved.output
    }
}
