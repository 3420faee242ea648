// SPDX-License-Identifier: Apache-2.0
import JobQueue
import Testing

@Suite struct FirstDocumentsTests {
    @Test func theOldestComeFirstAndAreCut() async throws {
        try await withQueue { fixture in
            #expect(try await fixture.queue.firstDocuments().isEmpty)
            try await fixture.submit(3, priority: 1)
            try await fixture.queue.submit([
                JobSubmission(template: "summarize", document: "äöü and more", batch: "c", priority: 9)
            ])
            #expect(
                try await fixture.queue.firstDocuments() == ["document 0", "document 1", "document 2", "äöü and more"])
            #expect(try await fixture.queue.firstDocuments(2, characters: 3) == ["doc", "doc"])
            let all = try await fixture.queue.firstDocuments(9, characters: 3)
            #expect(all.last == "äöü")
        }
    }
}
