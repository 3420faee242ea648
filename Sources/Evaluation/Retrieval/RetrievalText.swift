// SPDX-License-Identifier: Apache-2.0

/// Words and sentences that retrieval contexts are made of.
enum RetrievalText {
    static let qualities = [
        "amber", "brass", "copper", "crimson", "dusty", "foggy", "golden", "granite", "hollow", "ivory", "jade",
        "linen",
        "maple", "narrow", "olive", "paper", "quiet", "rusty", "silver", "velvet",
    ]

    static let things = [
        "anchor", "basket", "bridge", "candle", "castle", "engine", "falcon", "garden", "harbor", "island", "kettle",
        "ladder", "market", "meadow", "mirror", "needle", "orchard", "pillow", "rocket", "tunnel",
    ]

    static let names = [
        "apple", "birch", "cedar", "daisy", "ember", "fjord", "grape", "hazel", "indigo", "juniper", "kiwi", "lemon",
        "mango", "nutmeg", "onyx", "pepper", "quartz", "raven", "saffron", "thyme", "umber", "violet", "walnut",
        "yarrow",
    ]

    /// Sentences that say nothing that is asked about.
    static let filler = [
        "The morning train was late again, and nobody on the platform seemed to mind.",
        "A thin layer of snow covered the roofs of the old town.",
        "She closed the window because the wind had become too cold.",
        "Most of the visitors stayed near the fountain and talked about the weather.",
        "The baker put the last loaves on the shelf and wiped his hands.",
        "Behind the school there is a path that leads down to the river.",
        "He had read the letter twice and still did not know what to answer.",
        "In summer the children swim in the lake until the sun goes down.",
        "The committee will meet again next month to discuss the new library.",
        "Two dogs were sleeping in the shade of the large chestnut tree.",
        "It takes about an hour to walk from the village to the chapel.",
        "The farmer repaired the fence before the cows could get out.",
        "Nobody remembered who had painted the picture in the hallway.",
        "The soup needed a little more salt and a few more minutes.",
        "Along the coast the fishermen were mending their nets.",
        "Her grandfather used to tell long stories about his years at sea.",
        "The museum opens late on Mondays and is closed on public holidays.",
        "After the storm the streets were covered with leaves and branches.",
        "They planted beans, carrots and a row of sunflowers behind the house.",
        "The orchestra practised the slow movement until late in the evening.",
        "A small lamp was burning in the window on the second floor.",
        "The teacher asked the class to write about a journey they had made.",
        "Clouds moved quickly over the hills, but no rain fell that day.",
        "The carpenter measured the board again before he cut it.",
        "On market days the square is full of voices and colours.",
        "The old clock in the station has been slow for as long as anyone can tell.",
        "She bought a ticket, found her seat and opened her book.",
        "The gardener said that the roses would bloom within a week.",
        "From the tower one can see the mountains when the air is clear.",
        "He prefers to work early, when the house is still quiet.",
        "The ferry crosses the bay four times a day, except in winter.",
        "A neighbour had left a jar of honey in front of the door.",
        "The road bends sharply there and then climbs through the forest.",
        "Everyone agreed that the second performance was better than the first.",
        "The cat watched the birds from the kitchen table without moving.",
        "They spent the afternoon sorting old photographs into boxes.",
        "The bridge was built by hand, stone by stone, over many years.",
        "In the evening the family played cards and drank hot chocolate.",
        "The shop sells string, nails, paint and almost everything else.",
        "A light rain began just as the parade reached the town hall.",
    ]
}
