// SPDX-License-Identifier: Apache-2.0

import CacheStore
import Logging
import Synchronization

/// Says when segments cannot be stored, once a minute at most: a full disk refuses every one of them.
final class StoreReport: Sendable {
    private let logger: Logger
    private let last = Mutex<ContinuousClock.Instant?>(nil)

    init(logger: Logger) { self.logger = logger }

    /// Takes note of what became of a segment.
    func note(_ result: Result<Publication, CacheError>) {
        guard case .failure(let error) = result else { return }
        let isDue = last.withLock { last in
            let now = ContinuousClock.now
            if let last, now - last < .seconds(60) { return false }
            last = now
            return true
        }
        guard isDue else { return }
        logger.warning(
            "Prompts cannot be kept in the cache; jobs go on without it.", metadata: ["error": "\(error)"])
    }
}
