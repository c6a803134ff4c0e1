"""First names that English readers take for a woman's or for a man's, no name for both."""

WOMEN = (
    "Mary", "Anna", "Sarah", "Emma", "Laura", "Susan", "Linda", "Karen", "Lisa", "Julia", "Helen", "Jane",
    "Kate", "Emily", "Rachel", "Jessica", "Amy", "Maria", "Elizabeth", "Margaret", "Barbara", "Nancy",
    "Martha", "Rebecca", "Lucy", "Jennifer",
)  # fmt: skip
MEN = (
    "John", "Tom", "James", "David", "Michael", "Robert", "William", "Richard", "Thomas", "Charles",
    "Daniel", "Paul", "George", "Steven", "Kevin", "Brian", "Edward", "Peter", "Frank", "Eric", "Jack",
    "Henry", "Simon", "Matthew", "Andrew", "Joseph",
)  # fmt: skip
